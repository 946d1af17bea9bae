package org.nanodo.runtime;

import org.bytedeco.pytorch.Tensor;

/**
 * The collective operations of the ranks of a run. Every rank must call the same operations in the same order, on contiguous
 * tensors of the same type and length. An operation may still run when the call returns: its tensors must be neither written
 * nor read before its handle was awaited, and every handle must be awaited once.
 */
public interface Collectives extends AutoCloseable {
    int rank();

    int world();

    /** Concatenates the ranks' shards into {@code whole_WxS}. Both tensors have one dimension. */
    Handle allGather(Tensor whole_WxS, Tensor shard_S);

    /** Sums {@code whole_WxS} over the ranks and stores this rank's part in {@code sum_S}. Both tensors have one dimension. */
    Handle reduceScatter(Tensor sum_S, Tensor whole_WxS);

    /** Sums a tensor over the ranks in place. */
    Handle allReduce(Tensor sum);

    /** Overwrites the tensor with that of rank {@code root}. */
    Handle broadcast(Tensor tensor, int root);

    /**
     * Returns when every rank has called this method and all earlier operations have ended.
     *
     * @throws CollectiveException like {@link Handle#await}
     */
    void barrier();

    @Override
    void close();

    /** An operation that may still be running. */
    interface Handle {
        /**
         * Makes the operation's result visible to everything that this thread computes afterwards.
         *
         * @throws CollectiveException if this or an earlier operation failed or exceeded the time limit
         */
        void await();
    }

    /** Returns the collectives of a single rank, which only copy. */
    static Collectives single() {
        return new SingleRank();
    }
}
