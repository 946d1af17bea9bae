package org.nanodo.runtime;

import org.bytedeco.pytorch.Tensor;

/**
 * What the ranks of a run do together. Every rank calls the same operations in the same order, on contiguous tensors of the
 * same type and length. An operation may still run when the call returns: its tensors are neither written nor read
 * before its handle was awaited, and every handle is awaited once.
 */
public interface Collectives extends AutoCloseable {
    int rank();

    int world();

    /** Puts the ranks' shards one after the other: {@code whole} is the output, W·S long. Both are 1-D. */
    Handle allGather(Tensor whole_WxS, Tensor shard_S);

    /** Sums over the ranks and leaves this rank's part of the sum in {@code sum}. Both are 1-D. */
    Handle reduceScatter(Tensor sum_S, Tensor whole_WxS);

    /** Sums over the ranks, in place. */
    Handle allReduce(Tensor sum);

    /** Overwrites the tensor with that of rank {@code root}. */
    Handle broadcast(Tensor tensor, int root);

    /**
     * Returns when every rank has called it and all operations before it are done.
     *
     * @throws CollectiveException as {@link Handle#await}
     */
    void barrier();

    @Override
    void close();

    /** An operation under way. */
    interface Handle {
        /**
         * What this thread computes from here on sees the operation's result.
         *
         * @throws CollectiveException if this or an earlier operation failed, or did not end within the time limit
         */
        void await();
    }

    /** One rank, alone: gathering and scattering copy. */
    static Collectives single() {
        return new SingleRank();
    }
}
