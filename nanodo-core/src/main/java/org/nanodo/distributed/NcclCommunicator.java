package org.nanodo.distributed;

import java.time.Duration;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntSupplier;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.nccl;
import org.bytedeco.cuda.nccl.ncclComm;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.files.DaemonThread;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.CudaStream;
import org.nanodo.runtime.Device;

/**
 * An NCCL communicator, its stream, and a watchdog: NCCL by itself waits for a missing rank for ever. The watchdog looks
 * after the oldest collective under way, and aborts the communicator when that takes too long or NCCL reports an error,
 * which ends the kernels that hang and with them every wait.
 */
final class NcclCommunicator implements AutoCloseable {
    /** Puts an operation on the stream and returns NCCL's status. */
    @FunctionalInterface
    interface Call {
        int enqueue(ncclComm comm, CUstream_st stream);
    }

    private static final long POLL_MILLIS = 20;

    private final int rank;
    private final int world;
    private final Duration timeout;
    private final CudaStream stream;
    private final Heartbeats heartbeats;
    private final ncclComm comm;
    private final Queue<NcclOperation> underWay = new ConcurrentLinkedQueue<>();
    private final CountDownLatch closing = new CountDownLatch(1);
    private final Thread watchdog;

    /** Held inside NCCL, where an abort by another thread would pull the communicator away. */
    private final ReentrantLock inNccl = new ReentrantLock();

    private volatile CollectiveException failure;
    private NcclOperation group; // while one is open
    private int groupStatus; // of the first call in it that failed, told when the group has ended
    private volatile boolean closed;

    private NcclCommunicator(
            int rank, int world, Duration timeout, CudaStream stream, Heartbeats heartbeats, ncclComm comm) {
        this.rank = rank;
        this.world = world;
        this.timeout = timeout;
        this.stream = stream;
        this.heartbeats = heartbeats;
        this.comm = comm;
        watchdog = DaemonThread.of("nanodo-nccl-watchdog", this::watch);
        watchdog.start();
    }

    static NcclCommunicator open(Store store, int rank, int world, Device device, Duration timeout) {
        CudaStream stream = CudaStream.open(device);
        if (device.isCpu() && CudaStream.devices() > 0) {
            stream.close();
            throw new IllegalArgumentException("NCCL moves the memory of GPUs: give it the rank's CUDA device");
        }
        Heartbeats heartbeats = null;
        try {
            String prefix = "nccl/" + store.add("nccl/ranks/" + rank, 1); // counts this rank's communicators
            if (rank == 0) {
                store.set(prefix + "/id", Nccl.newId());
            }
            heartbeats = new Heartbeats(store, prefix, rank, world, timeout);
            heartbeats.start(timeout);
            ncclComm comm = Nccl.initialise(stream, Nccl.id(store.get_to_str(prefix + "/id")), rank, world, timeout);
            return new NcclCommunicator(rank, world, timeout, stream, heartbeats, comm);
        } catch (LinkageError | RuntimeException e) {
            stream.close();
            if (heartbeats != null) {
                heartbeats.failed(String.valueOf(e.getMessage()));
                heartbeats.close();
            }
            if (e instanceof LinkageError) {
                throw new IllegalStateException(
                        "NCCL did not load: it takes libnccl.so.2 where the loader finds it (LD_LIBRARY_PATH).", e);
            }
            throw e;
        }
    }

    NcclOperation launch(String name, Call call, Tensor... tensors) {
        inNccl.lock();
        try {
            if (group == null) {
                NcclOperation operation = begin(name);
                operation.hold(tensors);
                run(operation, () -> call.enqueue(comm, stream.handle()));
                return operation;
            }
            heartbeats.begin();
            group.hold(tensors);
            int status = call.enqueue(comm, stream.handle());
            groupStatus = groupStatus == nccl.ncclSuccess ? status : groupStatus;
            return group;
        } finally {
            inNccl.unlock();
        }
    }

    NcclOperation group(Runnable calls) {
        inNccl.lock();
        try {
            if (group != null) {
                throw new IllegalStateException("A group of collectives inside a group: one launch takes them all");
            }
            NcclOperation operation = begin("group");
            run(operation, () -> {
                groupStatus = nccl.ncclGroupStart();
                group = operation;
                int end;
                try {
                    calls.run();
                } finally {
                    group = null;
                    end = nccl.ncclGroupEnd(); // in any case, or NCCL takes what comes later for part of the group
                }
                return groupStatus == nccl.ncclSuccess ? end : groupStatus;
            });
            return operation;
        } finally {
            inNccl.unlock();
        }
    }

    private NcclOperation begin(String name) {
        throwIfFailed();
        if (closed) {
            throw new IllegalStateException(name + ": these collectives are closed");
        }
        var operation = new NcclOperation(this, name, heartbeats.begin());
        underWay.add(operation); // now, for the call may hang by itself: NCCL connects the ranks at first use
        return operation;
    }

    private void run(NcclOperation operation, IntSupplier enqueue) {
        try {
            stream.waitForCompute();
            checkOrFail(operation, enqueue.getAsInt());
        } finally {
            operation.launched(stream.record());
        }
    }

    void throwIfFailed() {
        if (failure != null) {
            throw new CollectiveException(failure.getMessage(), failure); // this thread's own stack trace
        }
    }

    /** Blocks until all that was launched has ended. */
    void synchronize() {
        stream.synchronize();
        throwIfFailed();
    }

    private void watch() {
        try {
            stream.use();
            long lastEnd = System.nanoTime();
            while (failure == null && !closing.await(POLL_MILLIS, TimeUnit.MILLISECONDS)) {
                NcclOperation oldest = underWay.peek();
                while (oldest != null && oldest.ended()) {
                    underWay.remove();
                    oldest.release();
                    oldest = underWay.peek();
                    lastEnd = System.nanoTime();
                }
                int[] status = new int[1];
                Nccl.check(nccl.ncclCommGetAsyncError(comm, status));
                if (status[0] != nccl.ncclInProgress) {
                    Nccl.check(status[0]);
                }
                long now = System.nanoTime();
                if (oldest != null && Math.min(now - lastEnd, now - oldest.launched) > timeout.toNanos()) {
                    fail(oldest, "did not end within " + Heartbeats.seconds(timeout));
                }
            }
        } catch (RuntimeException | LinkageError | InterruptedException e) {
            fail(underWay.peek(), "failed: " + e.getMessage());
        }
    }

    private void checkOrFail(NcclOperation operation, int status) {
        if (status != nccl.ncclSuccess) {
            throw fail(operation, "failed: " + Nccl.describe(status));
        }
    }

    /** Only the first failure counts. Told before the abort, so that nobody takes what an aborted kernel leaves for a result. */
    private synchronized CollectiveException fail(NcclOperation operation, String what) {
        if (failure != null) {
            return failure;
        }
        String subject = operation == null ? "The communicator" : operation.toString();
        String missing = operation == null ? "" : "; " + heartbeats.missing(operation.number);
        failure = new CollectiveException(subject + " of rank " + rank + " of " + world + " ranks " + what + missing);
        heartbeats.failed(failure.getMessage());
        abort();
        return failure;
    }

    private void abort() {
        boolean alone = false;
        try {
            alone = inNccl.tryLock(1, TimeUnit.SECONDS); // or never: the thread in there hangs, and only this frees it
            nccl.ncclCommAbort(comm);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            if (alone) {
                inNccl.unlock();
            }
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            stream.synchronize(); // in the worst case until the watchdog aborts
        } finally {
            closing.countDown();
            if (watchdogEnds()) {
                underWay.forEach(NcclOperation::release);
                if (failure == null) {
                    nccl.ncclCommDestroy(comm);
                }
                stream.close();
            }
            heartbeats.close();
        }
    }

    /** Not if an abort hangs: then nothing that it may still use is freed. */
    private boolean watchdogEnds() {
        try {
            watchdog.join(10_000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return !watchdog.isAlive();
    }
}
