package org.nanodo.distributed;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Collectives;

/** The part of collectives that does not depend on the library: ranks, and checks of arguments. */
abstract class PeerCollectives implements Collectives {
    final Peers peers;

    PeerCollectives(Peers peers) {
        this.peers = peers;
    }

    @Override
    public int rank() {
        return peers.rank;
    }

    @Override
    public int world() {
        return peers.world;
    }

    void checkRoot(int root) {
        if (root < 0 || root >= world()) {
            throw new IllegalArgumentException("broadcast: there is no rank " + root + " in a world of " + world());
        }
    }

    static void checkContiguous(String name, Tensor... tensors) {
        for (Tensor tensor : tensors) {
            if (!tensor.is_contiguous()) {
                throw new IllegalArgumentException(name + " requires contiguous tensors");
            }
        }
    }

    void checkShards(String name, Tensor whole_WxS, Tensor shard_S) {
        if (whole_WxS.dim() != 1 || shard_S.dim() != 1 || whole_WxS.numel() != world() * shard_S.numel()) {
            throw new IllegalArgumentException(name + ": the whole has " + whole_WxS.numel() + " elements in "
                    + whole_WxS.dim() + " dimensions, the shard " + shard_S.numel() + " in " + shard_S.dim()
                    + ": both must have one dimension, and " + world() + " shards must make a whole");
        }
    }
}
