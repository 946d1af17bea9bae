package org.nanodo.examples;

import java.util.Locale;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Dtype;
import picocli.CommandLine.Option;

/** What a benchmark runs: a preset, and what to change of it. */
final class ModelOptions {
    /** Named sizes: D, H, L, N, V, F, rows a batch, tokens a row. */
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
                        "There is no preset \"" + name + "\", but shakespeare-char, gpt2-124m and nanodo-default", e);
            }
        }

        /** Rows of a batch. */
        int batch() {
            return sizes[6];
        }

        /** Tokens of a row. */
        int length() {
            return sizes[7];
        }

        TransformerConfig config(Dtype dtype, boolean remat) {
            return new TransformerConfig(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], dtype, remat);
        }
    }

    @Option(names = "--preset", description = "shakespeare-char, gpt2-124m or nanodo-default.")
    String preset;

    @Option(names = "--batch", description = "Rows a batch, over all ranks; 0 is the preset's.")
    private int batch;

    @Option(names = "--length", description = "Tokens a row; 0 is the preset's.")
    private int length;

    @Option(names = "--bf16", description = "Compute in bfloat16.")
    boolean bf16;

    @Option(names = "--remat", description = "Recompute blocks in the backward pass.")
    private boolean remat;

    ModelOptions(String preset) {
        this.preset = preset;
    }

    TransformerConfig config() {
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
}
