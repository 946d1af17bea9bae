package org.nanodo.train;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.PlainPass;
import org.nanodo.runtime.Tensors;
import org.nanodo.train.Residency.Direction;
import org.nanodo.train.StepClock.Phase;

/** The engine that records one autograd graph of a model's {@link LanguageModel#forward}, whatever it is. */
final class WholeGraph extends LocalEngine {
    private final LanguageModel model;

    /** @param residency is told when the walk needs the parameters, all of which are one unit, {@link Residency#ROOT} */
    WholeGraph(LanguageModel model, Residency residency) {
        super(model, residency);
        this.model = model;
    }

    @Override
    Tensor lossAndGradients(MicroBatch micro, DeviceBatch onDevice) {
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
            return sum.detach().add(pass.sum());
        }
    }

    @Override
    float[] tokenLosses(DeviceBatch onDevice, PlainPass pass) {
        residency.enter(Residency.ROOT, Direction.FORWARD);
        Tensor logits_TxV = model.forward(onDevice.y_BxL(), pass).flatten(0, 1);
        residency.leave(Residency.ROOT, Direction.FORWARD);
        return Tensors.toFloats(Loss.tokenCrossEntropy(logits_TxV, onDevice.targets_T()));
    }
}
