package org.nanodo.train;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * A loss, and beside it the cross-entropy alone, which is what perplexity is of, whatever is minimised. Where the loss is
 * another, that costs a pass over the logits.
 */
final class MeasuredLoss implements Loss, AutoCloseable {
    private final Loss loss;
    private final Tensor crossEntropy_1; // summed since the last reset

    MeasuredLoss(Loss loss, Device device) {
        this.loss = loss;
        crossEntropy_1 = Scope.keep(Tensors.zeros(device, 1));
    }

    @Override
    public Tensor sum(Tensor logits_TxV, Tensor targets_T, Tensor weights_T) {
        Tensor sum = loss.sum(logits_TxV, targets_T, weights_T);
        try (var off = Grad.off()) {
            crossEntropy_1.add_(
                    loss instanceof CrossEntropy
                            ? sum.detach()
                            : Loss.crossEntropy().sum(logits_TxV, targets_T, weights_T));
        }
        return sum;
    }

    void reset() {
        Tensors.fill(crossEntropy_1, 0);
    }

    /** Summed over this rank's tokens since {@link #reset}: one number on the device, to be copied before the next. */
    Tensor crossEntropy_1() {
        return crossEntropy_1;
    }

    @Override
    public void close() {
        crossEntropy_1.close();
    }
}
