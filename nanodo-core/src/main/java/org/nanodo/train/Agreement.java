package org.nanodo.train;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Decisions of all ranks together. They wait for the device and for each other, so they are for rare occasions. */
final class Agreement {
    private final Collectives ranks;
    private final Device device;

    /** Something that may fail on one rank and not on another. */
    @FunctionalInterface
    interface Action {
        void run() throws IOException;
    }

    Agreement(Collectives ranks, Device device) {
        this.ranks = ranks;
        this.device = device;
    }

    boolean isFirst() {
        return ranks.rank() == 0;
    }

    int world() {
        return ranks.world();
    }

    /** Whether any rank says so. */
    boolean any(boolean mine) {
        return !who(mine).isEmpty();
    }

    /** Runs something on each rank. Where it fails on one it fails on all: none waits for what another never does. */
    void run(Action action) throws IOException {
        Throwable failure = null;
        try {
            action.run();
        } catch (CollectiveException e) {
            throw e; // which all have
        } catch (IOException | RuntimeException | Error e) {
            failure = e;
        }
        List<Integer> failed = who(failure != null);
        if (failure instanceof IOException own) {
            throw own;
        } else if (failure instanceof RuntimeException own) {
            throw own;
        } else if (failure instanceof Error own) {
            throw own;
        } else if (!failed.isEmpty()) {
            throw new IOException("This rank stops because of rank " + failed.get(0)
                    + ", which has failed where all go on together; its own message says why");
        }
    }

    /** Rank 0's number on all ranks. */
    long ofFirst(long mine) {
        try (var scope = Scope.open()) {
            Tensor number = Tensors.doubles(device, new double[] {mine}, 1);
            ranks.broadcast(number, 0).await();
            ranks.barrier(); // throws if that was aborted
            return number.item_long();
        }
    }

    private List<Integer> who(boolean mine) {
        float[] flags = new float[ranks.world()];
        flags[ranks.rank()] = mine ? 1 : 0;
        try (var scope = Scope.open()) {
            Tensor flags_W = Tensors.floats(device, flags, flags.length);
            ranks.allReduce(flags_W).await();
            ranks.barrier(); // throws if that was aborted
            float[] all = Tensors.toFloats(flags_W);
            var who = new ArrayList<Integer>();
            for (int rank = 0; rank < all.length; rank++) {
                if (all[rank] > 0) {
                    who.add(rank);
                }
            }
            return who;
        }
    }
}
