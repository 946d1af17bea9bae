package org.nanodo.train;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Attention;
import org.nanodo.model.PlainPass;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;

/** A forward pass of a step of training, in one autograd graph. */
class TrainingPass extends PlainPass {
    private final Dropout dropout;
    private final Measurements measurements;
    private final List<Tensor> losses = new ArrayList<>();
    private final Tensor sum; // of all losses

    TrainingPass(MicroBatch micro, Attention attention, Tensor positions_BxL, Tensor weights_BxL) {
        super(attention, positions_BxL, weights_BxL);
        dropout = new Dropout(micro.seed(), micro.firstRow(), micro.batch().B());
        measurements = micro.measurements();
        sum = Scope.keep(weights_BxL.new_zeros(new long[0]));
    }

    @Override
    public boolean training() {
        return true;
    }

    @Override
    public Tensor dropout(Tensor x_BxX, double rate) {
        return dropout.of(x_BxX, rate);
    }

    /** Returns the number of calls of {@link #dropout} so far, on which the next one depends. */
    final int dropouts() {
        return dropout.calls();
    }

    final void dropouts(int calls) {
        dropout.calls(calls);
    }

    @Override
    public void loss(String name, Tensor sum) {
        measurements.add(name, sum);
        try (var off = Grad.off()) {
            this.sum.add_(sum.detach().sum());
        }
        add(sum);
    }

    /** Returns the sum of all auxiliary losses so far, which is freed with this pass. */
    final Tensor sum() {
        return sum;
    }

    /** Adds to the losses whose gradients the backward pass computes. */
    final void add(Tensor loss) {
        if (loss.requires_grad()) {
            losses.add(Scope.keep(new Tensor(loss)));
        }
    }

    /** Returns the losses since the last call, which the caller closes. */
    final List<Tensor> takeLosses() {
        var taken = List.copyOf(losses);
        losses.clear();
        return taken;
    }

    @Override
    public void close() {
        sum.close();
        losses.forEach(Tensor::close);
        losses.clear();
        super.close();
    }
}
