package org.nanodo.train;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.data.Batch;
import org.nanodo.model.Attention;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.PlainPass;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** A batch on the device. Its tensors belong to the scope in which it is created. */
record DeviceBatch(int L, Tensor y_BxL, Tensor targets_T, Tensor weights_T, Attention attention, Tensor positions_1xL) {
    DeviceBatch(LanguageModel model, Batch batch) {
        this(
                batch.L(),
                Tensors.ids(model.device(), batch.inputs_BxL(), batch.B(), batch.L()),
                Tensors.ids(model.device(), batch.targets_BxL(), batch.B() * batch.L()),
                Tensors.floats(model.device(), batch.weights_BxL(), batch.B() * batch.L()),
                batch.isMasked()
                        ? Attention.within(Tensors.ids(model.device(), batch.documents_BxL(), batch.B(), batch.L()))
                        : Attention.CAUSAL,
                PlainPass.positions(model, batch.L()));
    }

    private Tensor weights_BxL() {
        return weights_T.view(-1, L);
    }

    PlainPass inference() {
        return new PlainPass(attention, positions_1xL, weights_BxL());
    }

    TrainingPass whole(MicroBatch micro) {
        return new TrainingPass(micro, attention, positions_1xL, weights_BxL());
    }

    WalkPass walk(MicroBatch micro) {
        return new WalkPass(micro, attention, positions_1xL, weights_BxL());
    }

    /** Returns the loss summed over the tokens from {@code start} on to which the logits belong, and measures cross-entropy. */
    Tensor loss(MicroBatch micro, Tensor logits_CxV, long start) {
        long C = logits_CxV.size(0);
        try (var scope = Scope.open()) {
            var chunk = new Loss.Chunk(
                    logits_CxV,
                    targets_T.narrow(0, start, C),
                    weights_T.narrow(0, start, C),
                    micro.firstRow() * L + start,
                    L,
                    micro.measurements());
            Tensor sum = micro.loss().sum(chunk);
            chunk.measureCrossEntropy();
            return scope.export(sum);
        }
    }
}
