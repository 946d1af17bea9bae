package org.nanodo.distributed;

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.CudaStream;
import org.nanodo.runtime.Scope;

/** A collective between its launch and its {@link #await}, which keeps the memory of its tensors that long. */
final class NcclOperation implements Collectives.Handle {
    final long number;
    final long launched = System.nanoTime();

    private final Peers peers;
    private final String name;
    private final AtomicInteger users = new AtomicInteger(2); // the thread that awaits it, and the watchdog
    private List<Tensor> tensors;
    private volatile CudaStream.Event end;

    NcclOperation(Peers peers, String name, long number, Tensor... tensors) {
        this.peers = peers;
        this.name = name;
        this.number = number;
        this.tensors = Arrays.stream(tensors)
                .map(tensor -> Scope.keep(new Tensor(tensor)))
                .toList();
    }

    /** Sets the event that follows the operation on its stream. */
    void launched(CudaStream.Event end) {
        this.end = end;
    }

    boolean ended() {
        return end != null && end.reached();
    }

    @Override
    public void await() {
        if (tensors != null) {
            end.holdCompute();
            tensors.forEach(Tensor::close);
            tensors = null;
            release();
        }
        peers.throwIfFailed();
    }

    /** Called once by each of the two users; the second call frees the event. */
    void release() {
        if (users.decrementAndGet() == 0) {
            end.close();
        }
    }

    @Override
    public String toString() {
        return peers.describe(name, number);
    }
}
