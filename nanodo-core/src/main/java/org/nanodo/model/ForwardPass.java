package org.nanodo.model;

import org.bytedeco.pytorch.Tensor;

/**
 * What one forward pass offers to a model's embedding, blocks and head besides their input. In training, each block may be a
 * separate autograd graph and may be computed twice, so blocks keep no state between calls: what one leaves to another goes
 * through {@link #put}, and random numbers come from {@link #dropout}.
 */
public interface ForwardPass {
    /** Returns the attention of this pass: causal, within documents, or to cached keys. */
    Attention attention();

    /** Returns the positions of the columns in their texts: int64, BxL, or 1xL if they are the same in all rows. */
    Tensor positions_BxL();

    /** Returns the weights of the positions in the loss, float32: 0 for padding. They are 1 outside of training and evaluation. */
    Tensor weights_BxL();

    /** Returns whether gradients are computed; false in evaluation and decoding. */
    boolean training();

    /**
     * Sets elements to zero with this probability and scales the others up (Srivastava et al. 2014); outside of training returns
     * the input. The choice depends on seed, step, row of the whole batch, and the number of earlier calls in the pass only, so
     * that micro-batches, ranks and recomputation do not change it.
     *
     * @param x_BxX a tensor of any number of dimensions, the first of which is B
     */
    Tensor dropout(Tensor x_BxX, double rate);

    /**
     * Leaves a tensor to later blocks and the head, under a name that a later block may reuse. The gradient from its readers comes
     * back to it.
     *
     * @throws IllegalArgumentException if the tensor shares memory with a parameter, which may be freed before it is read
     */
    void put(String name, Tensor t_BxLxX);

    /**
     * Returns what was last put under a name. The head sees the part of it that belongs to its positions.
     *
     * @throws IllegalArgumentException if no earlier block has put anything under this name
     */
    Tensor get(String name);

    /** Adds an auxiliary loss, a sum over positions like the main one, in training. It is reported by this name, too. */
    void loss(String name, Tensor sum);
}
