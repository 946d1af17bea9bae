package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.nanodo.TinyRun.DATA;
import static org.nanodo.TinyRun.config;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.TinyRun;
import org.nanodo.data.Batch;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.ForwardPass;
import org.nanodo.model.LanguageModel;
import org.nanodo.optim.AdamW;

/** What blocks leave to each other, drop and lose is as exact block by block as in one graph. */
class SeamTest {
    @ParameterizedTest
    @CsvSource({"false,1", "true,1", "false,2", "true,4"})
    void theWalkEqualsOneGraph(boolean remat, int microBatches) throws Exception {
        try (var batches = DATA.iterator();
                var measured = new Measurements();
                var walked = SeamModel.create(config(remat), 1);
                var whole = SeamModel.create(config(false), 1)) {
            Batch batch = batches.next();
            int rows = batch.B() / microBatches;
            var walk = new BlockWalk(walked, Residency.ALWAYS, 50);
            double sum = 0;
            for (int from = 0; from < batch.B(); from += rows) {
                sum += walk.lossAndGradients(micro(batch.rows(from, from + rows), from, measured))
                        .item_double();
            }
            double expected = new WholeGraph(whole, Residency.ALWAYS)
                    .lossAndGradients(micro(batch, 0, new Measurements()))
                    .item_double();
            assertThat(sum).isCloseTo(expected, within(expected * 1e-6));
            TinyRun.assertSameGradients(walked, whole);
        }
    }

    @Test
    void anAuxiliaryLossIsPartOfTheLossAndReportedByNameOnce() throws Exception {
        for (boolean remat : new boolean[] {false, true}) {
            Metrics metrics = train(SeamModel.create(config(remat), 1), 1).get(0);
            assertThat(metrics.get("aux")).isPositive();
            assertThat(metrics.get("train_loss"))
                    .isCloseTo(metrics.get("log_perplexity") + metrics.get("aux"), within(1e-5));
        }
    }

    @Test
    void aResumedRunEqualsOneThatNeverStopped(@TempDir Path directory) throws Exception {
        Map<String, Tensor> expected;
        try (var model = SeamModel.create(config(true), 1);
                var trainer = TinyRun.builder(model, 6).accumulate(2).build()) {
            trainer.run();
            expected = TinyRun.parameters(model);
        }
        for (int steps : new int[] {3, 6}) {
            try (var model = SeamModel.create(config(true), steps == 3 ? 1 : 99);
                    var trainer = TinyRun.builder(model, steps)
                            .accumulate(2)
                            .checkpoints(directory)
                            .build()) {
                trainer.resume().run();
                if (steps == 6) {
                    TinyRun.assertSameBits(TinyRun.parameters(model), expected);
                }
            }
        }
    }

    @Test
    void decodingWithACacheEqualsForward() {
        try (var model = SeamModel.create(config(false), 1)) {
            TinyRun.assertDecodingEqualsForward(model);
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.1, 0.5})
    void dropoutDropsItsShareAndKeepsTheMean(double rate) {
        var dropout = new Dropout(7, 0, 8);
        Tensor ones_8xN = torch.ones(8, 100_000);
        double first = dropout.of(ones_8xN, rate)
                .eq(new Scalar(0))
                .to(ScalarType.Float)
                .mean()
                .item_double();
        assertThat(first).isCloseTo(rate, within(2e-3));
        Tensor second = dropout.of(ones_8xN, rate);
        assertThat(second.mean().item_double()).isCloseTo(1, within(5e-3));
        Tensor rows = new Dropout(7, 3, 1).of(ones_8xN.narrow(0, 0, 1), rate);
        assertThat(rows.equal(new Dropout(7, 0, 8).of(ones_8xN, rate).narrow(0, 3, 1)))
                .isTrue();
        assertThat(rows.equal(second.narrow(0, 3, 1))).isFalse();
        // Rows, calls and neighbours are independent: both are dropped with the probability rate².
        for (Tensor other : List.of(
                second.narrow(0, 4, 1),
                second.roll(new long[] {1}, new long[] {1}).narrow(0, 3, 1))) {
            double both = rows.add(other)
                    .eq(new Scalar(0))
                    .to(ScalarType.Float)
                    .mean()
                    .item_double();
            assertThat(both).isCloseTo(rate * rate, within(5e-3));
        }
    }

    @Test
    void frozenParametersDoNotChangeAndHaveNoPartInTheNorm() throws Exception {
        for (boolean remat : new boolean[] {false, true}) {
            try (var model = DecoderModel.create(config(remat), 1)) {
                Map<String, Tensor> before = TinyRun.parameters(model);
                var metrics = new ArrayList<Metrics>();
                try (var trainer = TinyRun.builder(model, 3)
                        .trainable(name -> name.startsWith("blocks.1."))
                        .optimizer(AdamW.with())
                        .listen(metrics::add)
                        .build()) {
                    trainer.run();
                }
                Map<String, Tensor> after = TinyRun.parameters(model);
                before.forEach((name, tensor) ->
                        assertThat(tensor.equal(after.get(name))).as(name).isEqualTo(!name.startsWith("blocks.1.")));
                assertThat(metrics.get(0).get("grads/all/norm")).isPositive();
            }
        }
        try (var model = DecoderModel.create(config(false), 1)) {
            assertThatThrownBy(() ->
                            TinyRun.builder(model, 1).trainable(name -> false).build())
                    .hasMessageContaining("all are frozen");
        }
    }

    @Test
    void whatCannotBeLeftIsNamed() throws Exception {
        class Wrong extends WrappedModel {
            Wrong() {
                super(DecoderModel.create(TinyRun.config(false), 1));
            }

            @Override
            public Tensor embed(Tensor y_BxL, ForwardPass pass) {
                pass.put("weights", outEmbed().tensor().t());
                return super.embed(y_BxL, pass);
            }
        }
        class Missing extends WrappedModel {
            Missing() {
                super(DecoderModel.create(TinyRun.config(false), 1));
            }

            @Override
            public Tensor outNorm(Tensor y_BxLxD, ForwardPass pass) {
                return super.outNorm(y_BxLxD.add(pass.get("nothing")), pass);
            }
        }
        assertThatThrownBy(() -> train(new Wrong(), 1)).hasMessageContaining("\"weights\" is a parameter");
        assertThatThrownBy(() -> train(new Missing(), 1)).hasMessageContaining("No earlier block has put \"nothing\"");
    }

    private static MicroBatch micro(Batch batch, long firstRow, Measurements measurements) {
        return new MicroBatch(batch, firstRow, 3, Loss.crossEntropy(), measurements, new StepClock());
    }

    private static List<Metrics> train(LanguageModel model, long steps) throws Exception {
        var metrics = new ArrayList<Metrics>();
        try (model;
                var trainer = TinyRun.builder(model, steps).listen(metrics::add).build()) {
            trainer.run();
        }
        return metrics;
    }
}
