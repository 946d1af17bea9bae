package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.nanodo.TinyRun.DATA;
import static org.nanodo.TinyRun.builder;
import static org.nanodo.TinyRun.config;
import static org.nanodo.TinyRun.parameters;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.nanodo.TinyRun;
import org.nanodo.data.Batch;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.ModelFactory;
import org.nanodo.optim.AdamW;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Tensors;

class StepMetricsTest {
    private static final double RATE = 1e-2;

    /** Compares with plain Java over all elements: gradients before clipping, parameters before the update. */
    @Test
    void internalMetricsAreThoseOfTheNumbersThemselves() throws Exception {
        var metrics = new ArrayList<Metrics>();
        Map<String, double[]> gradients = new LinkedHashMap<>();
        Map<String, double[]> before = new LinkedHashMap<>();
        Map<String, double[]> updates = new LinkedHashMap<>();
        try (var other = DecoderModel.create(config(false), 1);
                var batches = DATA.iterator();
                var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 1)
                        .accumulate(2)
                        .clip(0.1)
                        .internalMetrics(1)
                        .listen(metrics::add)
                        .build()) {
            Batch batch = batches.next();
            new BlockWalk(other).lossAndGradients(MicroBatch.of(batch));
            for (var parameter : other.parameters()) {
                gradients.put(
                        parameter.name(),
                        scaled(Tensors.toDoubles(parameter.tensor().grad()), 1 / batch.weight()));
            }
            parameters(model).forEach((name, tensor) -> before.put(name, Tensors.toDoubles(tensor)));
            trainer.run();
            parameters(model).forEach((name, tensor) -> {
                double[] after = Tensors.toDoubles(tensor);
                double[] update = new double[after.length];
                for (int i = 0; i < after.length; i++) {
                    update[i] = (after[i] - before.get(name)[i]) / RATE;
                }
                updates.put(name, update);
            });
        }
        assertStatistics(metrics.get(0), "grads/", gradients, 1e-4);
        assertStatistics(metrics.get(0), "params/", before, 1e-6);
        assertStatistics(metrics.get(0), "updates/", updates, 1e-5);
    }

    private static void assertStatistics(Metrics metrics, String kind, Map<String, double[]> values, double tolerance) {
        var all = new ArrayList<double[]>();
        values.forEach((name, numbers) -> {
            assertStatistics(metrics, kind + name + "/", List.of(numbers), tolerance);
            all.add(numbers);
        });
        assertThat(all).hasSize(19);
        assertStatistics(metrics, kind + "all/", all, tolerance);
    }

    private static void assertStatistics(Metrics metrics, String name, List<double[]> parts, double tolerance) {
        double[] x = parts.stream().flatMapToDouble(Arrays::stream).toArray();
        double sum = 0;
        double squares = 0;
        for (double value : x) {
            sum += value;
            squares += value * value;
        }
        double mean = sum / x.length;
        double distances = 0;
        for (double value : x) {
            distances += (value - mean) * (value - mean);
        }
        double rms = Math.sqrt(squares / x.length);
        assertThat(metrics.get(name + "rms")).as(name).isCloseTo(rms, within(rms * tolerance));
        assertThat(metrics.get(name + "mean")).as(name).isCloseTo(mean, within(rms * tolerance));
        assertThat(metrics.get(name + "std"))
                .as(name)
                .isCloseTo(Math.sqrt(distances / x.length), within(rms * tolerance));
    }

    private static double[] scaled(double[] values, double scale) {
        return Arrays.stream(values).map(value -> value * scale).toArray();
    }

    @Test
    void internalMetricsChangeNoBitOfTheRun() throws Exception {
        var plain = new ArrayList<Metrics>();
        var measured = new ArrayList<Metrics>();
        Map<String, Tensor> expected = train(plain, 6, trainer -> trainer.clip(1));
        Map<String, Tensor> actual =
                train(measured, 6, trainer -> trainer.clip(1).internalMetrics(2));
        TinyRun.assertSameBits(actual, expected);
        for (int i = 0; i < 6; i++) {
            assertThat(measured.get(i).get("train_loss")).isEqualTo(plain.get(i).get("train_loss"));
            assertThat(measured.get(i).get("grads/all/rms"))
                    .isEqualTo(plain.get(i).get("grads/all/rms"));
            assertThat(plain.get(i).has("params/all/rms")).isFalse();
            assertThat(measured.get(i).has("params/all/rms")).isEqualTo(i % 2 == 1);
        }
    }

    @Test
    void stepsAreCountedAndRated() throws Exception {
        var metrics = new ArrayList<Metrics>();
        train(metrics, 4, trainer -> trainer.peakFlops(1e9));
        double params = 259 * 32 + 24 * 32 + 2 * (2 * 32 + 4 * 32 * 32 + 2 * 32 * 64) + 32;
        assertThat(metrics).hasSize(4);
        for (Metrics step : metrics) {
            assertThat(step.get("train_perplexity")).isEqualTo(Math.exp(step.get("train_loss")));
            assertThat(step.get("learning_rate")).isEqualTo(RATE);
            assertThat(step.get("train_ntokens")).isEqualTo(8 * 23);
            assertThat(step.get("train_tokens_seen")).isEqualTo(8 * 23 * step.step());
            assertThat(step.get("train_fraction")).isEqualTo(step.step() / 4.0);
            assertThat(step.get("total_flops")).isEqualTo(6 * params * 8 * 24 * step.step());
            double seconds = step.values().entrySet().stream()
                    .filter(value -> value.getKey().startsWith("seconds/"))
                    .mapToDouble(Map.Entry::getValue)
                    .sum();
            assertThat(step.get("steps_per_sec")).isCloseTo(1 / seconds, within(1e-6 / seconds));
            assertThat(step.get("tokens_per_sec")).isCloseTo(8 * 23 / seconds, within(1e-6 * 8 * 23 / seconds));
            double mfu = 6 * params * 8 * 24 / seconds / 1e9;
            assertThat(step.get("mfu")).isCloseTo(mfu, within(mfu * 1e-6));
            assertThat(step.has("n_params/all")).isEqualTo(step.step() == 1);
            assertThat(step.get("uptime")).isGreaterThanOrEqualTo(seconds);
        }
        assertThat(metrics.get(0).get("n_params/all")).isEqualTo(params);
        assertThat(metrics.get(0).get("n_params/embedding")).isEqualTo(259 * 32 + 24 * 32);
        assertThat(metrics.get(0).get("n_params/non_embedding")).isEqualTo(params - 259 * 32 - 24 * 32);
        assertThat(metrics.get(0).get("n_params/blocks.1.mlp_in")).isEqualTo(32 * 64);
        assertThat(metrics.get(0).has("n_params/head")).as("tied").isFalse();
    }

    @Test
    void aHeadOfItsOwnIsCountedApart() throws Exception {
        var metrics = new ArrayList<Metrics>();
        try (var model = ModelFactory.named("llama").create(config(false), 1, Device.cpu());
                var trainer = builder(model, 1).listen(metrics::add).build()) {
            trainer.run();
            Metrics first = metrics.get(0);
            assertThat(first.get("n_params/head")).isEqualTo(259 * 32);
            assertThat(first.get("n_params/embedding")).isEqualTo(259 * 32);
            assertThat(first.get("n_params/non_embedding")).isEqualTo(model.parameterCount() - 259 * 32);
            assertThat(first.get("n_params/non_embedding_head")).isEqualTo(model.parameterCount() - 2 * 259 * 32);
        }
    }

    /** Perplexity is computed from the cross-entropy alone, without a penalty in the loss, for any chunks and micro-batches. */
    @Test
    void perplexityIsOfTheCrossEntropy() throws Exception {
        var plain = new ArrayList<Metrics>();
        var penalised = new ArrayList<Metrics>();
        train(plain, 1, trainer -> trainer);
        train(penalised, 1, trainer -> trainer.accumulate(2)
                .loss(chunk ->
                        Loss.crossEntropy().sum(chunk).add(chunk.weights_C().sum())));
        double crossEntropy = plain.get(0).get("train_loss");
        assertThat(plain.get(0).get("log_perplexity")).isEqualTo(crossEntropy);
        assertThat(penalised.get(0).get("train_loss")).isCloseTo(crossEntropy + 1, within(1e-5));
        assertThat(penalised.get(0).get("log_perplexity")).isCloseTo(crossEntropy, within(1e-5));
        assertThat(penalised.get(0).get("train_perplexity")).isCloseTo(Math.exp(crossEntropy), within(1e-2));
        assertThat(plain.get(0).has("mfu")).isFalse();
    }

    @Test
    void perplexityIsCapped() throws Exception {
        var metrics = new ArrayList<Metrics>();
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 1).listen(metrics::add).build()) {
            try (var off = Grad.off()) {
                model.outEmbed().tensor().mul_(new Scalar(100)); // so that each token predicts itself
            }
            trainer.run();
        }
        assertThat(metrics.get(0).get("log_perplexity")).isGreaterThan(Math.log(1e4));
        assertThat(metrics.get(0).get("train_perplexity")).isEqualTo(1e4);
    }

    /** The last batch of an epoch has rows with little or no text: micro-batches are weighted by their tokens. */
    @Test
    void microBatchesGiveTheMetricsOfTheBatch() throws Exception {
        var whole = new ArrayList<Metrics>();
        var parts = new ArrayList<Metrics>();
        UnaryOperator<TrainerBuilder> epoch =
                trainer -> trainer.data(DATA.length(23).epochs(1))
                        .optimizer(AdamW.with().eps(1))
                        .internalMetrics(1);
        train(whole, 1000, epoch);
        train(parts, 1000, trainer -> epoch.apply(trainer).accumulate(8));
        assertThat(parts).hasSameSizeAs(whole);
        double seen = whole.stream().mapToDouble(m -> m.get("train_ntokens")).sum();
        Metrics last = whole.get(whole.size() - 1);
        assertThat(last.get("train_ntokens")).isLessThan(8 * 22);
        assertThat(last.get("train_tokens_seen")).isCloseTo(seen, within(22.0));
        for (int i = 0; i < whole.size(); i++) {
            assertSame(parts.get(i), whole.get(i), 1e-4);
        }
    }

    /** All metrics but times are equal; the tolerance of a mean is relative to the numbers it is a mean of. */
    static void assertSame(Metrics actual, Metrics expected, double tolerance) {
        assertThat(actual.values().keySet()).isEqualTo(expected.values().keySet());
        expected.withoutSpeed().values().forEach((name, value) -> {
            double size = name.endsWith("/mean") || name.endsWith("/std")
                    ? expected.get(name.replaceAll("[a-z]+$", "rms"))
                    : Math.abs(value);
            assertThat(actual.get(name)).as(expected.step() + " " + name).isCloseTo(value, within(size * tolerance));
        });
    }

    @Test
    void badSettingsAreNamed() {
        try (var model = DecoderModel.create(config(false), 1)) {
            assertThatThrownBy(() -> builder(model, 1).internalMetrics(0).build())
                    .hasMessageContaining("Internal metrics every 0 steps");
            assertThatThrownBy(() -> builder(model, 1).peakFlops(0).build()).hasMessageContaining("A peak of 0");
            assertThatThrownBy(() -> builder(model, 1).evalSteps(0).build()).hasMessageContaining("of 0 batches");
        }
    }

    private static Map<String, Tensor> train(List<Metrics> metrics, long steps, UnaryOperator<TrainerBuilder> options)
            throws Exception {
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = options.apply(builder(model, steps))
                        .listen(metrics::add)
                        .build()) {
            trainer.run();
            return parameters(model);
        }
    }
}
