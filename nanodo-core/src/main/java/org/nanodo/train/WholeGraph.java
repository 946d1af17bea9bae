package org.nanodo.train;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.data.Batch;
import org.nanodo.model.LanguageModel;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.train.Residency.Direction;
import org.nanodo.train.StepClock.Phase;

/** The engine that records one autograd graph of a model's {@link LanguageModel#forward}, whatever it is. */
public final class WholeGraph extends LocalEngine {
    private final LanguageModel model;

    /** @param residency is told when the walk needs the parameters, all of which are one unit, {@link Residency#ROOT} */
    public WholeGraph(LanguageModel model, Residency residency) {
        super(model, residency);
        this.model = model;
    }

    @Override
    public Tensor lossAndGradients(MicroBatch micro) {
        holdCasts();
        try (var scope = Scope.open()) {
            var onDevice = new DeviceBatch(model, micro.batch());
            try (var pass = onDevice.whole(micro)) {
                residency.enter(Residency.ROOT, Direction.FORWARD);
                Tensor logits_TxV = model.forward(onDevice.y_BxL(), pass).flatten(0, 1);
                Tensor sum = onDevice.loss(micro, logits_TxV, 0);
                Tensor all = sum;
                for (Tensor loss : pass.takeLosses()) {
                    all = all.add(loss.sum());
                    loss.close();
                }
                micro.clock().lap(Phase.FORWARD);
                residency.enter(Residency.ROOT, Direction.BACKWARD);
                all.backward();
                residency.leave(Residency.ROOT, Direction.BACKWARD);
                micro.clock().lap(Phase.BACKWARD);
                return scope.export(sum.detach().add(pass.sum()));
            }
        }
    }

    @Override
    public float[] tokenLosses(Batch batch) {
        try (var use = inference();
                var scope = Scope.open();
                var off = Grad.off()) {
            var onDevice = new DeviceBatch(model, batch);
            try (var pass = onDevice.inference()) {
                residency.enter(Residency.ROOT, Direction.FORWARD);
                Tensor logits_TxV = model.forward(onDevice.y_BxL(), pass).flatten(0, 1);
                residency.leave(Residency.ROOT, Direction.FORWARD);
                return Tensors.toFloats(Loss.tokenCrossEntropy(logits_TxV, onDevice.targets_T()));
            }
        }
    }
}
