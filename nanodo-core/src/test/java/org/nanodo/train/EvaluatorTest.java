package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.nanodo.TinyRun.DATA;
import static org.nanodo.TinyRun.builder;
import static org.nanodo.TinyRun.config;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.nanodo.data.Batch;
import org.nanodo.data.PackedDataset;
import org.nanodo.data.Packing;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.source.TextSource;
import org.nanodo.tokenizer.Tokenizer;

class EvaluatorTest {
    /** Documents with characters of one to four bytes, which rows of 16 tokens cut anywhere. */
    private static final String[] TEXTS = IntStream.range(0, 40)
            .mapToObj(i -> "Größe " + i + " €, 𝄞 " + "x".repeat(i % 7))
            .toArray(String[]::new);

    private static final PackedDataset ROWS =
            PackedDataset.of(TextSource.of(TEXTS)).length(16).batch(4).shuffle(3);

    /** Compares loss, its standard error and bits per byte with the model's plain log-probabilities, row by row. */
    @Test
    void aSetIsMeasuredAsItsRowsAre() throws Exception {
        var all = new ArrayList<Metrics>();
        try (var model = DecoderModel.create(config(false), 1);
                var trainer =
                        builder(model, 1).evaluate(ROWS, 1).listen(all::add).build()) {
            trainer.run();
            Metrics metrics = evaluation(all);
            double[] losses = losses(model, ROWS, Long.MAX_VALUE);
            double mean = Arrays.stream(losses).average().orElseThrow();
            double squares = Arrays.stream(losses)
                    .map(loss -> (loss - mean) * (loss - mean))
                    .sum();
            double error = Math.sqrt(squares) / losses.length;
            assertClose(metrics, "eval_loss", mean);
            assertClose(metrics, "eval_loss_std", error);
            assertClose(metrics, "eval_loss_uc", mean + 3 * error);
            assertClose(metrics, "eval_perplexity", Math.exp(mean));

            double bytes = String.join("", TEXTS).getBytes(StandardCharsets.UTF_8).length;
            double bitsPerByte =
                    (bytes + 2 * TEXTS.length) / bytes / Math.log(2); // a byte is a token, BOS and EOS besides
            assertClose(metrics, "eval_loss_bpB", mean * bitsPerByte);
            assertClose(metrics, "eval_loss_std_bpB", error * bitsPerByte);
            assertClose(metrics, "eval_loss_uc_bpB", (mean + 3 * error) * bitsPerByte);
        }
    }

    @Test
    void setsHaveNamesAndStepsOfTheirOwnAndALimit() throws Exception {
        PackedDataset other = PackedDataset.of(TextSource.of("something else", "and more of it"))
                .length(10)
                .batch(2);
        var all = new ArrayList<Metrics>();
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 5)
                        .evaluate(ROWS, 2)
                        .evaluate("other", other, 4)
                        .evalSteps(2)
                        .listen(all::add)
                        .build()) {
            trainer.run();
            assertThat(steps(all, "eval_loss")).containsExactly(0L, 2L, 4L, 5L);
            assertThat(steps(all, "other/eval_loss")).containsExactly(0L, 4L, 5L);
            Metrics last = evaluation(all);
            assertClose(last, "eval_loss", mean(losses(model, ROWS, 2)));
            assertClose(last, "other/eval_loss", mean(losses(model, other, 2)));
            assertThat(last.values()).containsKeys("other/eval_loss_uc", "other/eval_loss_bpB");
            assertThat(losses(model, ROWS, 2)).hasSize(2 * 4 * 15);
        }
    }

    /** Two documents of two bytes and three targets each. */
    @Test
    void bitsAByteOfPaddedRowsAreOfTheirTargets() throws Exception {
        PackedDataset padded = PackedDataset.of(TextSource.of("ab", "cd"))
                .packing(Packing.PADDED)
                .length(8)
                .batch(2);
        var all = new ArrayList<Metrics>();
        try (var model = DecoderModel.create(config(false), 1);
                var trainer =
                        builder(model, 1).evaluate(padded, 1).listen(all::add).build()) {
            trainer.run();
        }
        Metrics last = evaluation(all);
        assertThat(last.get("eval_loss_bpB")).isCloseTo(last.get("eval_loss") * 6 / 4 / Math.log(2), within(1e-9));
    }

    @Test
    void aSetWithNothingToPredictIsNamed() throws Exception {
        // BOS and EOS are the same token, so an empty document is a single token.
        PackedDataset empty = PackedDataset.of(TextSource.of(""))
                .tokenizer(new OneSpecial())
                .length(8)
                .batch(1);
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 1)
                        .data(DATA.tokenizer(new OneSpecial()))
                        .evaluate("empty", empty, 1)
                        .build()) {
            assertThatThrownBy(trainer::run).hasMessageContaining("\"empty\" has no token to predict");
        }
    }

    private static final class OneSpecial implements Tokenizer {
        @Override
        public int[] encode(String text) {
            return Tokenizer.bytes().encode(text);
        }

        @Override
        public String decode(int... ids) {
            return Tokenizer.bytes().decode(ids);
        }

        @Override
        public int vocabSize() {
            return 259;
        }

        @Override
        public int eosId() {
            return 1;
        }

        @Override
        public Map<String, String> spec() {
            return Map.of("kind", "one special");
        }
    }

    /** Returns the loss of every target in this number of batches, row by row. */
    private static double[] losses(DecoderModel model, PackedDataset data, long limit) {
        var losses = DoubleStream.builder();
        try (var batches = data.epochs(1).iterator()) {
            for (long i = 0; i < limit && batches.hasNext(); i++) {
                Batch batch = batches.next();
                for (int b = 0; b < batch.B(); b++) {
                    int start = b * batch.L();
                    int end = start;
                    while (end < start + batch.L() && batch.weights_BxL()[end] != 0) {
                        end++;
                    }
                    if (end > start) {
                        int[] text = Arrays.copyOfRange(batch.inputs_BxL(), start, end + 1);
                        for (double logProb : model.logProbs(text)) {
                            losses.add(-logProb);
                        }
                    }
                }
            }
        }
        return losses.build().toArray();
    }

    private static double mean(double[] values) {
        return Arrays.stream(values).average().orElseThrow();
    }

    private static List<Long> steps(List<Metrics> metrics, String name) {
        return metrics.stream().filter(m -> m.has(name)).map(Metrics::step).toList();
    }

    private static Metrics evaluation(List<Metrics> metrics) {
        return metrics.stream()
                .filter(m -> m.has("eval_loss"))
                .reduce((first, second) -> second)
                .orElseThrow();
    }

    private static void assertClose(Metrics metrics, String name, double expected) {
        assertThat(metrics.get(name)).as(name).isCloseTo(expected, within(expected * 1e-5));
    }
}
