package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.nanodo.TinyRun;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.BlockModel;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;
import org.nanodo.optim.AdamW;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Tensors;

/** A parameter on which no loss depends, as an expert to which no token is routed, has a gradient of zero. */
class UnusedParameterTest {
    private static final class WithUnused extends WrappedModel {
        private final List<Parameter> all;

        WithUnused(BlockModel model) {
            super(model);
            all = new ArrayList<>(model.parameters());
            all.add(new Parameter("unused", new long[] {3}, Dtype.FLOAT32, () -> torch.ones(3)));
        }

        @Override
        public List<Parameter> parameters() {
            return all;
        }
    }

    @Test
    void trainingContinuesAndDoesNotChangeIt() throws Exception {
        try (var plain = DecoderModel.create(TinyRun.config(false), 1);
                var model = new WithUnused(DecoderModel.create(TinyRun.config(false), 1))) {
            List<Metrics> expected = train(plain);
            List<Metrics> metrics = train(model);
            for (int i = 0; i < expected.size(); i++) {
                for (String name : List.of("train_loss", "grads/all/norm")) {
                    assertThat(metrics.get(i).get(name))
                            .isCloseTo(expected.get(i).get(name), withinPercentage(1e-3));
                }
            }
            Parameter unused = model.parameters().get(model.parameters().size() - 1);
            assertThat(Tensors.toFloats(unused.tensor())).containsExactly(1, 1, 1);
        }
    }

    private static List<Metrics> train(LanguageModel model) throws Exception {
        var metrics = new ArrayList<Metrics>();
        try (var trainer = TinyRun.builder(model, 3)
                .optimizer(AdamW.with().weightDecay(0))
                .listen(metrics::add)
                .build()) {
            trainer.run();
        }
        return metrics;
    }
}
