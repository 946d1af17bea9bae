package org.nanodo.train;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;

/**
 * What training makes small, summed over tokens. It is called with one chunk of a batch after another, and the sums are
 * divided by the weight of all tokens of the step: so neither chunks, micro-batches nor ranks change the result.
 */
@FunctionalInterface
public interface Loss {
    /**
     * The weighted sum of the tokens' losses, as one number to take the gradient of.
     *
     * @param logits_TxV float32
     * @param targets_T int64 ids
     * @param weights_T float32; zero for padding
     */
    Tensor sum(Tensor logits_TxV, Tensor targets_T, Tensor weights_T);

    /** Negative log-likelihood of the targets, in nats. */
    static Loss crossEntropy() {
        return (logits_TxV, targets_T, weights_T) ->
                tokenCrossEntropy(logits_TxV, targets_T).mul(weights_T).sum();
    }

    /** Cross-entropy a token, in nats. */
    static Tensor tokenCrossEntropy(Tensor logits_TxV, Tensor targets_T) {
        int noReduction = 0;
        int ignoreNothing = -100;
        return torch.cross_entropy_loss(logits_TxV, targets_T, new TensorOptional(), noReduction, ignoreNothing, 0.0);
    }
}
