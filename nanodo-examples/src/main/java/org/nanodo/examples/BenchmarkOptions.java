package org.nanodo.examples;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import org.nanodo.data.PackedDataset;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Dtype;
import org.nanodo.source.TextSource;
import org.nanodo.train.Trainer;
import org.nanodo.train.TrainerBuilder;
import picocli.CommandLine.Option;

/** The options of a benchmark: a preset of sizes, changes to it, and the number of steps. */
final class BenchmarkOptions {
    /** Named sizes: D, H, L, N, V, F, rows per batch, tokens per row. */
    enum Preset {
        SHAKESPEARE_CHAR(128, 4, 64, 4, 65, 512, 12, 64),
        GPT2_124M(768, 12, 1024, 12, 50_257, 3072, 4, 64),
        NANODO_DEFAULT(512, 8, 512, 6, 32_101, 2048, 4, 512);

        private final int[] sizes;

        Preset(int... sizes) {
            this.sizes = sizes;
        }

        static Preset of(String name) {
            try {
                return valueOf(name.toUpperCase(Locale.ROOT).replace('-', '_'));
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException(
                        "There is no preset \"" + name
                                + "\"; the presets are shakespeare-char, gpt2-124m and nanodo-default",
                        e);
            }
        }

        /** Returns the rows of a batch. */
        int batch() {
            return sizes[6];
        }

        /** Returns the tokens of a row. */
        int length() {
            return sizes[7];
        }

        TransformerConfig config(Dtype dtype, boolean remat) {
            return new TransformerConfig(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], dtype, remat);
        }
    }

    @Option(names = "--preset", description = "shakespeare-char, gpt2-124m or nanodo-default.")
    String preset;

    @Option(names = "--batch", description = "Rows per batch, over all ranks; 0 means the preset's.")
    private int batch;

    @Option(names = "--length", description = "Tokens per row; 0 means the preset's.")
    private int length;

    @Option(names = "--bf16", description = "Compute in bfloat16.")
    boolean bf16;

    @Option(names = "--remat", description = "Recompute blocks in the backward pass.")
    private boolean remat;

    @Option(names = "--warmup", description = "Steps before the measured ones.")
    private int warmup;

    @Option(names = "--steps", description = "Measured steps, two or more.")
    private int steps;

    BenchmarkOptions(String preset, int warmup, int steps) {
        this.preset = preset;
        this.warmup = warmup;
        this.steps = steps;
    }

    /** @throws IllegalArgumentException if an option is out of its range */
    TransformerConfig config() {
        if (warmup < 1 || steps < 2) {
            throw new IllegalArgumentException("--warmup " + warmup + " --steps " + steps
                    + ": it takes a warmup of at least 1 and 2 measured steps");
        }
        return Preset.of(preset).config(bf16 ? Dtype.BFLOAT16 : Dtype.FLOAT32, remat);
    }

    int batch() {
        return batch(Preset.of(preset).batch());
    }

    int length() {
        return length(Preset.of(preset).length());
    }

    int batch(int otherwise) {
        return batch == 0 ? otherwise : batch;
    }

    int length(int otherwise) {
        return length == 0 ? otherwise : length;
    }

    /** Prepares the training of a model on random tokens. */
    TrainerBuilder trainer(DecoderModel model) {
        var documents = new String[100];
        Arrays.setAll(documents, i -> "document " + i);
        return Trainer.of(model)
                .data(PackedDataset.of(TextSource.of(documents))
                        .tokenizer(new RandomTokens(model.config().V()))
                        .length(length())
                        .batch(batch())
                        .shuffle(1))
                .clip(1)
                .steps(warmup + steps);
    }

    boolean isMeasured(Metrics step) {
        return step.step() > warmup;
    }

    static double median(List<Metrics> steps, ToDoubleFunction<Metrics> value) {
        return median(steps.stream().mapToDouble(value).toArray());
    }

    /** Returns the median seconds of a step. */
    static double seconds(List<Metrics> steps) {
        return median(steps, step -> step.get("train_ntokens") / step.get("tokens_per_sec"));
    }

    static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
