package org.nanodo.distributed;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.CudaStream;
import org.nanodo.runtime.Scope;

/** A collective, or a group of them, between its launch and its {@link #await}. It keeps the memory of its tensors that long. */
final class NcclOperation implements Collectives.Handle {
    final String name;
    final long number;
    final long launched = System.nanoTime();

    private final NcclCommunicator communicator;
    private final AtomicInteger users = new AtomicInteger(2); // who awaits it, and the watchdog
    private List<Tensor> tensors = new ArrayList<>();
    private volatile CudaStream.Event end;

    NcclOperation(NcclCommunicator communicator, String name, long number) {
        this.communicator = communicator;
        this.name = name;
        this.number = number;
    }

    void hold(Tensor... more) {
        for (Tensor tensor : more) {
            tensors.add(Scope.keep(new Tensor(tensor)));
        }
    }

    /** What belongs to it is all on the stream now. */
    void launched(CudaStream.Event end) {
        this.end = end;
    }

    boolean ended() {
        return end != null && end.reached();
    }

    @Override
    public void await() {
        if (end == null) {
            throw new IllegalStateException("A collective of a group is awaited after the group, not inside");
        }
        if (tensors != null) {
            end.holdCompute();
            tensors.forEach(Tensor::close);
            tensors = null;
            release();
        }
        communicator.throwIfFailed();
    }

    /** By each of the two users, once. */
    void release() {
        if (users.decrementAndGet() == 0) {
            end.close();
        }
    }

    @Override
    public String toString() {
        return name + ", collective " + number;
    }
}
