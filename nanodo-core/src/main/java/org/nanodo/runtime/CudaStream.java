package org.nanodo.runtime;

import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.pytorch.global.torch_cuda;

/**
 * A CUDA stream beside the one on which LibTorch computes. The two run concurrently, and events order them where necessary
 * without blocking the host. Close a stream only after all its work has ended.
 */
public final class CudaStream implements AutoCloseable {
    private final Device device;
    private final CUstream_st stream = new CUstream_st();
    private final CUevent_st computed; // recorded repeatedly: a wait uses the state of the event at that moment

    private CudaStream(Device device) {
        this.device = device;
        use();
        check(cudart.cudaStreamCreateWithFlags(stream, cudart.cudaStreamNonBlocking));
        computed = newEvent();
    }

    /** @throws IllegalStateException if the CUDA runtime is missing or has no such device */
    public static CudaStream open(Device device) {
        Natives.start();
        try {
            return new CudaStream(device);
        } catch (LinkageError e) {
            throw new IllegalStateException(
                    "The CUDA runtime did not load: it needs the org.bytedeco:cuda jars (build with -Pgpu), an NVIDIA driver, "
                            + "and the CUDA 13 libraries where the loader finds them (LD_LIBRARY_PATH).",
                    e);
        }
    }

    /** Returns how many devices the CUDA runtime sees, independent of the natives of LibTorch. */
    public static int devices() {
        int[] count = new int[1];
        cudart.cudaGetDeviceCount(count);
        return count[0];
    }

    public CUstream_st handle() {
        return stream;
    }

    /** Makes the device the calling thread's current one, on which events and streams are created. */
    public void use() {
        check(cudart.cudaSetDevice(device.index()));
    }

    /** Makes later work on this stream wait for the work that this thread has given to LibTorch so far. */
    public void waitForCompute() {
        use();
        check(cudart.cudaEventRecord(computed, compute()));
        check(cudart.cudaStreamWaitEvent(stream, computed, 0));
    }

    /** Records an event after all present work of this stream. */
    public Event record() {
        var event = new Event(newEvent());
        check(cudart.cudaEventRecord(event.event, stream));
        return event;
    }

    /** Blocks until all present work of this stream has ended. */
    public void synchronize() {
        check(cudart.cudaStreamSynchronize(stream));
    }

    @Override
    public void close() {
        check(cudart.cudaEventDestroy(computed));
        check(cudart.cudaStreamDestroy(stream));
    }

    /** Returns the stream on which this thread computes; for tensors on the host, CUDA's default stream, null. */
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

    /** A point in the stream's work. */
    public final class Event implements AutoCloseable {
        private final CUevent_st event;

        private Event(CUevent_st event) {
            this.event = event;
        }

        /** Returns whether the stream has reached this point. */
        public boolean reached() {
            int status = cudart.cudaEventQuery(event);
            if (status == cudart.cudaErrorNotReady) {
                return false;
            }
            check(status);
            return true;
        }

        /** Makes later work that this thread gives to LibTorch wait until the stream has reached this point. */
        public void holdCompute() {
            check(cudart.cudaStreamWaitEvent(compute(), event, 0));
        }

        @Override
        public void close() {
            check(cudart.cudaEventDestroy(event));
        }
    }
}
