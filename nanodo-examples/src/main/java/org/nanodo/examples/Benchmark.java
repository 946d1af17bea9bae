package org.nanodo.examples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.data.PackedDataset;
import org.nanodo.files.Json;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.Linear;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;
import org.nanodo.source.TextSource;
import org.nanodo.train.Trainer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How fast a model trains and decodes here, against what the same run measures of the machine. */
@Command(
        name = "Benchmark",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description =
                "Trains on random tokens and prints where the time goes. MFU is 6 · parameters · tokens/s over the rate of "
                        + "a 2048 x 2048 x 2048 float32 product, measured before and after. With --decode: generates, and "
                        + "compares the bytes of the parameters read a second with the rate of a sum over 512 MiB.")
public final class Benchmark implements Callable<Integer> {
    @Mixin
    private final ModelOptions sizes = new ModelOptions("shakespeare-char");

    @Option(
            names = "--decode",
            description =
                    "Measure generation instead of training: of one row and the whole context, unless said otherwise.")
    private boolean decode;

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
        TransformerConfig config = sizes.config();
        System.out.println(Natives.describe());
        var result = new LinkedHashMap<String, Object>();
        result.put("preset", sizes.preset);
        result.put("dtype", sizes.bf16 ? "bfloat16" : "float32");
        result.put("threads", Natives.threads());
        if (decode) {
            decode(config, sizes.batch(1), sizes.length(config.L()), result);
        } else {
            train(config, sizes.batch(), sizes.length(), result);
        }
        result.put("peak_resident_mib", Memory.peakResidentBytes() >> 20);
        result.forEach((name, value) -> System.out.printf("%-22s %s%n", name, value));
        String line = Json.writeLine(result);
        System.out.println(line);
        if (json != null) {
            Files.writeString(json, line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        }
        return 0;
    }

    private void train(TransformerConfig config, int B, int L, Map<String, Object> result) throws IOException {
        var measured = new ArrayList<Metrics>();
        long[] alive = {0};
        double float32Peak = peak(torch.ScalarType.Float);
        double bfloat16Peak = peak(torch.ScalarType.BFloat16);
        long parameters;
        double flopsPerToken;
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
            flopsPerToken = model.flopsPerToken();
            trainer.run();
        }
        float32Peak = Math.max(float32Peak, peak(torch.ScalarType.Float));
        bfloat16Peak = Math.max(bfloat16Peak, peak(torch.ScalarType.BFloat16));

        double seconds = median(measured, "train_ntokens", "tokens_per_sec");
        double tokensPerSecond = B * L / seconds;
        result.put("batch", B);
        result.put("length", L);
        result.put("parameters", parameters);
        result.put("step_ms", rounded(seconds * 1e3));
        for (String phase : List.of("data", "forward", "backward", "optimizer", "report")) {
            result.put(phase + "_ms", rounded(median(measured, "seconds/" + phase, null) * 1e3));
        }
        result.put("tokens_per_sec", rounded(tokensPerSecond));
        result.put("float32_peak_gflops", rounded(float32Peak / 1e9));
        result.put("bfloat16_peak_gflops", rounded(bfloat16Peak / 1e9));
        result.put("mfu", rounded(flopsPerToken * tokensPerSecond / float32Peak));
        result.put("native_alive_mib", alive[0] >> 20);
    }

    private void decode(TransformerConfig config, int B, int L, Map<String, Object> result) {
        var times = new ArrayList<Long>();
        double bandwidth = readBandwidth();
        long parameters;
        try (var model = DecoderModel.create(config, 1)) {
            parameters = model.parameterCount();
            for (int run = 0; run < 2; run++) { // the first to warm up
                times.clear();
                model.generate(
                                new RandomTokens(config.V()),
                                Collections.nCopies(B, "").toArray(String[]::new))
                        .sampler((logits, random) -> {
                            times.add(System.nanoTime());
                            return 3 + random.nextInt(config.V() - 3);
                        })
                        .maxTokens(L - 2)
                        .allTokens();
            }
        }
        bandwidth = Math.max(bandwidth, readBandwidth());
        double[] tokenMillis = new double[times.size() / B - 1];
        for (int i = 0; i < tokenMillis.length; i++) {
            tokenMillis[i] = (times.get((i + 1) * B) - times.get(i * B)) / 1e6;
        }
        double millis = median(tokenMillis);
        double bytesPerSecond = parameters * (sizes.bf16 ? 2 : 4) / millis * 1e3;
        int window = Math.min(16, tokenMillis.length);
        result.put("batch", B);
        result.put("length", L);
        result.put("parameters", parameters);
        result.put("token_ms", rounded(millis));
        result.put("first_tokens_ms", rounded(median(Arrays.copyOfRange(tokenMillis, 0, window))));
        result.put(
                "last_tokens_ms",
                rounded(median(Arrays.copyOfRange(tokenMillis, tokenMillis.length - window, tokenMillis.length))));
        result.put("tokens_per_sec", rounded(B * 1e3 / millis));
        result.put("parameter_gbytes_per_sec", rounded(bytesPerSecond / 1e9));
        result.put("read_gbytes_per_sec", rounded(bandwidth / 1e9));
        result.put("read_fraction", rounded(bytesPerSecond / bandwidth));
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
                Linear.of(a_NxN, a_NxN).close(); // which knows what the processor is slow at
                best = Math.min(best, System.nanoTime() - start);
            }
        }
        return 2.0 * n * n * n / (best / 1e9);
    }

    /** The best of several sums over more memory than any cache holds, in bytes a second. */
    private static double readBandwidth() {
        long bytes = 512 << 20;
        long best = Long.MAX_VALUE;
        try (var scope = Scope.open();
                var off = Grad.off()) {
            Tensor values = torch.ones(bytes / Float.BYTES);
            for (int i = 0; i < 10; i++) {
                long start = System.nanoTime();
                values.sum().close();
                best = Math.min(best, System.nanoTime() - start);
            }
        }
        return bytes / (best / 1e9);
    }

    static double median(List<Metrics> metrics, String name, String dividedBy) {
        return median(metrics.stream()
                .mapToDouble(m -> m.get(name) / (dividedBy == null ? 1 : m.get(dividedBy)))
                .toArray());
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    private static double rounded(double value) {
        return Double.parseDouble(String.format(Locale.ROOT, "%.4g", value));
    }
}
