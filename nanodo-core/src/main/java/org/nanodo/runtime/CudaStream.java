package org.nanodo.runtime;

import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.pytorch.global.torch_cuda;

/**
 * A CUDA stream beside the one that LibTorch computes on. The two run at the same time; events order them where that
 * matters, without a wait on the host. Close it after all that ran on it has ended.
 */
public final class CudaStream implements AutoCloseable {
    private final Device device;
    private final CUstream_st stream = new CUstream_st();
    private final CUevent_st computed; // recorded again and again: a wait takes the event as it stands

    private CudaStream(Device device) {
        this.device = device;
        use();
        check(cudart.cudaStreamCreateWithFlags(stream, cudart.cudaStreamNonBlocking));
        computed = newEvent();
    }

    /** @throws IllegalStateException if the CUDA runtime is not there, or has no such device */
    public static CudaStream open(Device device) {
        Natives.start();
        try {
            return new CudaStream(device);
        } catch (LinkageError e) {
            throw new IllegalStateException(
                    "The CUDA runtime did not load: it takes the org.bytedeco:cuda jars (build with -Pgpu), an NVIDIA driver, "
                            + "and the CUDA 13 libraries where the loader finds them (LD_LIBRARY_PATH).",
                    e);
        }
    }

    /** How many devices the CUDA runtime sees, whatever natives LibTorch has. */
    public static int devices() {
        int[] count = new int[1];
        cudart.cudaGetDeviceCount(count);
        return count[0];
    }

    public CUstream_st handle() {
        return stream;
    }

    /** Makes the device the calling thread's: events and streams are made on the current one. */
    public void use() {
        check(cudart.cudaSetDevice(device.index()));
    }

    /** What is put on this stream from here on starts when LibTorch has computed what this thread has asked of it. */
    public void waitForCompute() {
        use();
        check(cudart.cudaEventRecord(computed, compute()));
        check(cudart.cudaStreamWaitEvent(stream, computed, 0));
    }

    /** A mark behind all that is on this stream now. */
    public Event record() {
        var event = new Event(newEvent());
        check(cudart.cudaEventRecord(event.event, stream));
        return event;
    }

    /** Blocks until all that is on this stream has ended. */
    public void synchronize() {
        check(cudart.cudaStreamSynchronize(stream));
    }

    @Override
    public void close() {
        check(cudart.cudaEventDestroy(computed));
        check(cudart.cudaStreamDestroy(stream));
    }

    /** The stream that this thread computes on. Tensors on the host know none: 0, CUDA's default, takes its place. */
    private CUstream_st compute() {
        if (device.isCpu()) {
            return null;
        }
        try (var scope = Scope.open()) {
            return torch_cuda.getCurrentCUDAStream((byte) device.index()).stream();
        }
    }

    private static CUevent_st newEvent() {
        var event = new CUevent_st();
        check(cudart.cudaEventCreateWithFlags(event, cudart.cudaEventDisableTiming));
        return event;
    }

    private static void check(int status) {
        if (status != cudart.cudaSuccess) {
            throw new IllegalStateException("CUDA reports error " + status + ", "
                    + cudart.cudaGetErrorString(status).getString());
        }
    }

    /** A point of the stream's work. */
    public final class Event implements AutoCloseable {
        private final CUevent_st event;

        private Event(CUevent_st event) {
            this.event = event;
        }

        /** Whether the stream has got there. */
        public boolean reached() {
            int status = cudart.cudaEventQuery(event);
            if (status == cudart.cudaErrorNotReady) {
                return false;
            }
            check(status);
            return true;
        }

        /** What this thread asks LibTorch to compute from here on starts when the stream has got there. */
        public void holdCompute() {
            check(cudart.cudaStreamWaitEvent(compute(), event, 0));
        }

        @Override
        public void close() {
            check(cudart.cudaEventDestroy(event));
        }
    }
}
