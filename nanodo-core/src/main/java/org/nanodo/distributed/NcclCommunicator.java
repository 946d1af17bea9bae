package org.nanodo.distributed;

import java.time.Duration;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
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
 * An NCCL communicator, its stream, and a watchdog, since NCCL itself waits for a missing rank for ever. The watchdog observes
 * the oldest collective under way. When that takes too long or NCCL reports an error, it aborts the communicator, which ends
 * the kernels that hang and with them every wait.
 */
final class NcclCommunicator implements AutoCloseable {
    /** Enqueues an operation on the stream and returns NCCL's status. */
    @FunctionalInterface
    interface Call {
        int enqueue(ncclComm comm, CUstream_st stream);
    }

    private static final long POLL_MILLIS = 20;

    final Peers peers;
    private final CudaStream stream;
    private final ncclComm comm;
    private final Queue<NcclOperation> underWay = new ConcurrentLinkedQueue<>();
    private final CountDownLatch closing = new CountDownLatch(1);
    private final Thread watchdog = DaemonThread.of("nanodo-nccl-watchdog", this::watch);

    /** Held during a call of NCCL, so that no other thread aborts the communicator meanwhile. */
    private final ReentrantLock inNccl = new ReentrantLock();

    private volatile boolean closed;

    private NcclCommunicator(Peers peers, CudaStream stream, ncclComm comm) {
        this.peers = peers;
        this.stream = stream;
        this.comm = comm;
        watchdog.start();
    }

    static NcclCommunicator open(Store store, int rank, int world, Device device, Duration timeout) {
        CudaStream stream = CudaStream.open(device);
        if (device.isCpu() && CudaStream.devices() > 0) {
            stream.close();
            throw new IllegalArgumentException("NCCL requires tensors on GPUs: pass the rank's CUDA device");
        }
        Peers peers = null;
        try {
            peers = new Peers(store, "nccl", rank, world, timeout);
            String idKey = peers.prefix + "/id";
            if (rank == 0) {
                store.set(idKey, Nccl.newId());
            }
            peers.meet();
            ncclComm comm = Nccl.initialise(stream, Nccl.id(store.get_to_str(idKey)), rank, world, timeout);
            return new NcclCommunicator(peers, stream, comm);
        } catch (LinkageError | RuntimeException e) {
            stream.close();
            if (peers != null) {
                peers.abandon(e);
            }
            if (e instanceof LinkageError) {
                throw new IllegalStateException(
                        "NCCL did not load: libnccl.so.2 must be where the loader finds it (LD_LIBRARY_PATH).", e);
            }
            throw e;
        }
    }

    NcclOperation launch(String name, Call call, Tensor... tensors) {
        inNccl.lock();
        try {
            peers.throwIfFailed();
            if (closed) {
                throw new IllegalStateException(name + ": these collectives are closed");
            }
            var operation = new NcclOperation(peers, name, peers.begin(), tensors);
            underWay.add(operation); // before the call, which may hang: NCCL connects the ranks at first use
            try {
                stream.waitForCompute();
                int status = call.enqueue(comm, stream.handle());
                if (status != nccl.ncclSuccess) {
                    throw fail(operation, "failed: " + Nccl.describe(status));
                }
            } finally {
                operation.launched(stream.record());
            }
            return operation;
        } finally {
            inNccl.unlock();
        }
    }

    /** Blocks until all launched operations have ended. */
    void synchronize() {
        stream.synchronize();
        peers.throwIfFailed();
    }

    private void watch() {
        try {
            stream.use();
            long lastEnd = System.nanoTime();
            while (peers.failure() == null && !closing.await(POLL_MILLIS, TimeUnit.MILLISECONDS)) {
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
                if (oldest != null && Math.min(now - lastEnd, now - oldest.launched) > peers.timeout.toNanos()) {
                    fail(oldest, "did not end within " + Peers.seconds(peers.timeout));
                }
            }
        } catch (RuntimeException | LinkageError | InterruptedException e) {
            fail(underWay.peek(), "failed: " + e.getMessage());
        }
    }

    /** Records the first failure before the abort, so that nobody takes what an aborted kernel leaves for a result. */
    private synchronized CollectiveException fail(NcclOperation operation, String what) {
        if (peers.failure() == null) {
            String message = operation == null
                    ? "The communicator of rank " + peers.rank + " of " + peers.world + " ranks " + what
                    : operation + " " + what + "; " + peers.missing(operation.number);
            peers.fail(message, null);
            abort();
        }
        return peers.failure();
    }

    private void abort() {
        boolean alone = false;
        try {
            alone = inNccl.tryLock(
                    1, TimeUnit.SECONDS); // a longer wait would not help: only the abort frees a call that hangs
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
            stream.synchronize(); // at the latest when the watchdog aborts
        } finally {
            closing.countDown();
            if (watchdogEnds()) {
                underWay.forEach(NcclOperation::release);
                if (peers.failure() == null) {
                    nccl.ncclCommDestroy(comm);
                }
                stream.close();
            }
            peers.close();
        }
    }

    /** Waits for the watchdog. Returns false if its abort hangs and may still use the communicator and the stream. */
    private boolean watchdogEnds() {
        try {
            watchdog.join(10_000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return !watchdog.isAlive();
    }
}
