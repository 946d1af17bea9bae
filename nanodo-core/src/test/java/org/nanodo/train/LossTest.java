package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import org.bytedeco.pytorch.Scalar;
import org.junit.jupiter.api.Test;
import org.nanodo.TinyRun;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.BlockModel;
import org.nanodo.model.DecoderModel;

/** The loss that a run uses. */
class LossTest {
    private static final Loss DOUBLED = chunk -> Loss.crossEntropy().sum(chunk).mul(new Scalar(2));

    /** The default model, with a loss of its own. */
    private static final class Opinionated extends WrappedModel implements Loss.OfModel {
        Opinionated(BlockModel model) {
            super(model);
        }

        @Override
        public Loss loss() {
            return DOUBLED;
        }
    }

    private static Metrics firstStep(boolean opinionated, Loss loss) throws Exception {
        var metrics = new ArrayList<Metrics>();
        var plain = DecoderModel.create(TinyRun.config(false), 1);
        try (var model = opinionated ? new Opinionated(plain) : plain;
                var trainer = TinyRun.builder(model, 1)
                        .loss(loss)
                        .listen(metrics::add)
                        .build()) {
            trainer.run();
        }
        return metrics.get(0);
    }

    @Test
    void aModelBringsItsLossAndTheTrainerMayHaveAnother() throws Exception {
        double crossEntropy = firstStep(false, null).get("train_loss");
        assertThat(firstStep(true, null).get("train_loss")).isCloseTo(2 * crossEntropy, within(1e-5));
        assertThat(firstStep(true, Loss.crossEntropy()).get("train_loss")).isEqualTo(crossEntropy);
    }
}
