package org.nanodo.train;

import org.bytedeco.pytorch.Tensor;

/** Negative log-likelihood of the targets, in nats. */
record CrossEntropy() implements Loss {
    @Override
    public Tensor sum(Tensor logits_TxV, Tensor targets_T, Tensor weights_T) {
        return Loss.tokenCrossEntropy(logits_TxV, targets_T).mul(weights_T).sum();
    }
}
