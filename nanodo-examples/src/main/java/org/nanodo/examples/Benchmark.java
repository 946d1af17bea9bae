package org.nanodo.examples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.checkpoint.Json;
import org.nanodo.data.PackedDataset;
import org.nanodo.data.TextSource;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;
import org.nanodo.train.Metrics;
import org.nanodo.train.Trainer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** How fast a model trains here, against the matrix products that the same run measures. */
@Command(
        name = "Benchmark",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description =
                "Trains on random tokens and prints where the time goes. MFU is 6 · parameters · tokens/s over the rate of "
                        + "a 2048 x 2048 x 2048 float32 product, measured before and after.")
public final class Benchmark implements Callable<Integer> {
    /** Named sizes: D, H, L, N, V, F, rows a batch, tokens a row. */
    enum Preset {
        SHAKESPEARE_CHAR(128, 4, 64, 4, 65, 512, 12, 64),
        GPT2_124M(768, 12, 1024, 12, 50_257, 3072, 4, 64),
        NANODO_DEFAULT(512, 8, 512, 6, 32_101, 2048, 4, 512);

        private final int[] sizes;

        Preset(int... sizes) {
            this.sizes = sizes;
        }

        TransformerConfig config(Dtype dtype, boolean remat) {
            return new TransformerConfig(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], dtype, remat);
        }
    }

    @Option(names = "--preset", description = "shakespeare-char, gpt2-124m or nanodo-default.")
    private String preset = "shakespeare-char";

    @Option(names = "--batch", description = "Rows a batch; 0 is the preset's.")
    private int batch;

    @Option(names = "--length", description = "Tokens a row; 0 is the preset's.")
    private int length;

    @Option(names = "--bf16", description = "Compute in bfloat16.")
    private boolean bf16;

    @Option(names = "--remat", description = "Recompute blocks in the backward pass.")
    private boolean remat;

    @Option(names = "--warmup", description = "Steps before measuring.")
    private int warmup = 5;

    @Option(names = "--steps", description = "Steps to measure.")
    private int steps = 20;

    @Option(
            names = "--json",
            paramLabel = "FILE",
            description = "Append the result as one line of JSON to a file, too.")
    private Path json;

    public static void main(String[] args) {
        Examples.main(new Benchmark(), args);
    }

    @Override
    public Integer call() throws IOException {
        Preset chosen = preset();
        int B = batch == 0 ? chosen.sizes[6] : batch;
        int L = length == 0 ? chosen.sizes[7] : length;
        TransformerConfig config = chosen.config(bf16 ? Dtype.BFLOAT16 : Dtype.FLOAT32, remat);
        System.out.println(Natives.describe());
        var measured = new ArrayList<Metrics>();
        long[] alive = {0};
        double float32Peak = peak(torch.ScalarType.Float);
        double bfloat16Peak = peak(torch.ScalarType.BFloat16);
        long parameters;
        try (var model = DecoderModel.create(config, 1);
                var trainer = Trainer.of(model)
                        .data(PackedDataset.of(TextSource.of(names(100)))
                                .tokenizer(new RandomTokens(config.V()))
                                .length(L)
                                .batch(B)
                                .shuffle(1))
                        .clip(1)
                        .steps(warmup + steps)
                        .listen(metrics -> {
                            if (metrics.step() > warmup) {
                                measured.add(metrics);
                            }
                            alive[0] = Memory.allocatedBytes();
                        })
                        .build()) {
            parameters = model.parameterCount();
            trainer.run();
        }
        float32Peak = Math.max(float32Peak, peak(torch.ScalarType.Float));
        bfloat16Peak = Math.max(bfloat16Peak, peak(torch.ScalarType.BFloat16));

        double seconds = median(measured, "train_ntokens", "tokens_per_sec");
        double tokensPerSecond = B * L / seconds;
        var result = new LinkedHashMap<String, Object>();
        result.put("preset", preset);
        result.put("dtype", bf16 ? "bfloat16" : "float32");
        result.put("batch", B);
        result.put("length", L);
        result.put("parameters", parameters);
        result.put("threads", Natives.threads());
        result.put("step_ms", rounded(seconds * 1e3));
        for (String phase : List.of("data", "forward", "backward", "optimizer", "report")) {
            result.put(phase + "_ms", rounded(median(measured, "seconds/" + phase, null) * 1e3));
        }
        result.put("tokens_per_sec", rounded(tokensPerSecond));
        result.put("float32_peak_gflops", rounded(float32Peak / 1e9));
        result.put("bfloat16_peak_gflops", rounded(bfloat16Peak / 1e9));
        result.put("mfu", rounded(6.0 * parameters * tokensPerSecond / float32Peak));
        result.put("peak_resident_mib", Memory.peakResidentBytes() >> 20);
        result.put("native_alive_mib", alive[0] >> 20);
        result.forEach((name, value) -> System.out.printf("%-22s %s%n", name, value));
        String line = Json.write(result).replaceAll("\\s*\\R\\s*", " ");
        System.out.println(line);
        if (json != null) {
            Files.writeString(json, line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        }
        return 0;
    }

    private Preset preset() {
        try {
            return Preset.valueOf(preset.toUpperCase(Locale.ROOT).replace('-', '_'));
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(
                    "There is no preset \"" + preset + "\", but " + Arrays.toString(Preset.values()), e);
        }
    }

    private static String[] names(int count) {
        var names = new String[count];
        Arrays.setAll(names, i -> "document " + i);
        return names;
    }

    /** The best of several large matrix products, in operations a second. */
    private static double peak(torch.ScalarType type) {
        int n = 2048;
        long best = Long.MAX_VALUE;
        try (var scope = Scope.open();
                var off = Grad.off()) {
            Tensor a_NxN = torch.rand(n, n).to(type);
            for (int i = 0; i < 10; i++) {
                long start = System.nanoTime();
                a_NxN.matmul(a_NxN).close();
                best = Math.min(best, System.nanoTime() - start);
            }
        }
        return 2.0 * n * n * n / (best / 1e9);
    }

    private static double median(List<Metrics> metrics, String name, String dividedBy) {
        double[] sorted = metrics.stream()
                .mapToDouble(m -> m.get(name) / (dividedBy == null ? 1 : m.get(dividedBy)))
                .sorted()
                .toArray();
        return sorted[sorted.length / 2];
    }

    private static double rounded(double value) {
        return Double.parseDouble(String.format(Locale.ROOT, "%.4g", value));
    }
}
