package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.nanodo.TinyRun.DATA;
import static org.nanodo.TinyRun.config;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.nanodo.TinyRun;
import org.nanodo.data.Batch;
import org.nanodo.model.BlockModel;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.LanguageModel;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;

/** Law 10: training, evaluation and decoding compute one function, also of a model that changes its logits. */
class LogitsTest {
    private static final double CAP = 0.5; // far below the products, so that no path can leave it out unseen

    /** Softly capped logits, as in Gemma 2. */
    private static final class Capped extends WrappedModel {
        Capped(BlockModel model) {
            super(model);
        }

        @Override
        public Tensor logits(Tensor products_TxV) {
            return products_TxV.div(new Scalar(CAP)).tanh().mul(new Scalar(CAP));
        }
    }

    @Test
    void trainingEqualsAutogradOfForward() throws Exception {
        try (var batches = DATA.iterator();
                var walked = new Capped(DecoderModel.create(config(false), 1));
                var whole = new Capped(DecoderModel.create(config(false), 1))) {
            Batch batch = batches.next();
            Tensor loss = new BlockWalk(walked, Residency.ALWAYS, 50).lossAndGradients(MicroBatch.of(batch));
            Tensor expected = loss(whole, batch);
            expected.backward();
            assertThat(loss.item_double()).isCloseTo(expected.item_double(), within(1e-3));
            TinyRun.assertSameGradients(walked, whole);
        }
    }

    @Test
    void evaluationEqualsForward() throws Exception {
        try (var batches = DATA.iterator();
                var model = new Capped(DecoderModel.create(config(false), 1))) {
            Batch batch = batches.next();
            double sum = 0;
            float[] losses = new BlockWalk(model, Residency.ALWAYS, 50).tokenLosses(batch);
            for (int i = 0; i < losses.length; i++) {
                sum += losses[i] * batch.weights_BxL()[i];
            }
            assertThat(sum).isCloseTo(loss(model, batch).item_double(), within(1e-3));
        }
    }

    @Test
    void decodingEqualsForward() {
        try (var model = new Capped(DecoderModel.create(config(false), 1))) {
            TinyRun.assertDecodingEqualsForward(model);
        }
    }

    private static Tensor loss(LanguageModel model, Batch batch) {
        int T = batch.B() * batch.L();
        return Loss.crossEntropy()
                .sum(Loss.Chunk.of(
                        model.forward(Tensors.ids(Device.cpu(), batch.inputs_BxL(), batch.B(), batch.L()))
                                .flatten(0, 1),
                        Tensors.ids(Device.cpu(), batch.targets_BxL(), T),
                        Tensors.floats(Device.cpu(), batch.weights_BxL(), T)));
    }
}
