package org.nanodo.distributed;

import java.time.Duration;
import org.bytedeco.pytorch.Tensor;

/** What all collectives ask of their arguments. */
final class Arguments {
    private Arguments() {}

    static void checkRun(int rank, int world, Duration timeout) {
        if (rank < 0 || rank >= world) {
            throw new IllegalArgumentException("There is no rank " + rank + " in a world of " + world);
        }
        if (timeout.isNegative() || timeout.isZero()) {
            throw new IllegalArgumentException("A time limit of " + timeout + " leaves no time: give it seconds");
        }
    }

    static void checkRoot(int root, int world) {
        if (root < 0 || root >= world) {
            throw new IllegalArgumentException("broadcast: there is no rank " + root + " in a world of " + world);
        }
    }

    static void checkContiguous(String name, Tensor... tensors) {
        for (Tensor tensor : tensors) {
            if (!tensor.is_contiguous()) {
                throw new IllegalArgumentException(name + " takes contiguous tensors only");
            }
        }
    }

    static void checkShards(String name, int world, Tensor whole_WxS, Tensor shard_S) {
        if (whole_WxS.dim() != 1 || shard_S.dim() != 1 || whole_WxS.numel() != world * shard_S.numel()) {
            throw new IllegalArgumentException(name + ": the whole has " + whole_WxS.numel() + " elements in "
                    + whole_WxS.dim() + " dimensions, the shard " + shard_S.numel() + " in " + shard_S.dim()
                    + ": it takes one dimension each, and " + world + " shards make a whole");
        }
    }
}
