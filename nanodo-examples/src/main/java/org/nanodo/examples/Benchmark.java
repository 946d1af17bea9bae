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
import org.nanodo.files.Json;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.Linear;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Measures how fast a model trains and decodes, relative to the speed of the machine in the same run. */
@Command(
        name = "Benchmark",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description =
                "Trains on random tokens and prints where the time goes. MFU is 6 · parameters · tokens/s over the rate of "
                        + "a 2048 x 2048 x 2048 float32 product, measured before and after. With --decode it generates, and "
                        + "compares the bytes of parameters read per second with the rate of a sum over 512 MiB.")
public final class Benchmark implements Callable<Integer> {
    @Mixin
    private final BenchmarkOptions options = new BenchmarkOptions("shakespeare-char", 5, 20);

    @Option(
            names = "--decode",
            description = "Measure generation instead of training, by default of one row and the whole context.")
    private boolean decode;

    @Option(names = "--json", paramLabel = "FILE", description = "Append the result to a file as one line of JSON.")
    private Path json;

    public static void main(String[] args) {
        Examples.main(new Benchmark(), args);
    }

    @Override
    public Integer call() throws IOException {
        TransformerConfig config = options.config();
        System.out.println(Natives.describe());
        var result = new LinkedHashMap<String, Object>();
        result.put("preset", options.preset);
        result.put("dtype", options.bf16 ? "bfloat16" : "float32");
        result.put("threads", Natives.threads());
        if (decode) {
            decode(config, options.batch(1), options.length(config.L()), result);
        } else {
            train(config, result);
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

    private void train(TransformerConfig config, Map<String, Object> result) throws IOException {
        var measured = new ArrayList<Metrics>();
        long[] alive = {0};
        double float32Peak = peak(torch.ScalarType.Float);
        double bfloat16Peak = peak(torch.ScalarType.BFloat16);
        long parameters;
        double flopsPerToken;
        try (var model = DecoderModel.create(config, 1);
                var trainer = options.trainer(model)
                        .listen(step -> {
                            if (options.isMeasured(step)) {
                                measured.add(step);
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

        double seconds = BenchmarkOptions.seconds(measured);
        double tokensPerSecond = options.batch() * options.length() / seconds;
        result.put("batch", options.batch());
        result.put("length", options.length());
        result.put("parameters", parameters);
        result.put("step_ms", rounded(seconds * 1e3));
        for (String phase : List.of("data", "forward", "backward", "optimizer", "report")) {
            result.put(
                    phase + "_ms",
                    rounded(BenchmarkOptions.median(measured, step -> step.get("seconds/" + phase)) * 1e3));
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
        double millis = BenchmarkOptions.median(tokenMillis);
        double bytesPerSecond = parameters * (options.bf16 ? 2 : 4) / millis * 1e3;
        int window = Math.min(16, tokenMillis.length);
        result.put("batch", B);
        result.put("length", L);
        result.put("parameters", parameters);
        result.put("token_ms", rounded(millis));
        result.put("first_tokens_ms", rounded(BenchmarkOptions.median(Arrays.copyOfRange(tokenMillis, 0, window))));
        result.put(
                "last_tokens_ms",
                rounded(BenchmarkOptions.median(
                        Arrays.copyOfRange(tokenMillis, tokenMillis.length - window, tokenMillis.length))));
        result.put("tokens_per_sec", rounded(B * 1e3 / millis));
        result.put("parameter_gbytes_per_sec", rounded(bytesPerSecond / 1e9));
        result.put("read_gbytes_per_sec", rounded(bandwidth / 1e9));
        result.put("read_fraction", rounded(bytesPerSecond / bandwidth));
    }

    /** Returns the best rate of several large matrix products, in operations per second. */
    private static double peak(torch.ScalarType type) {
        int n = 2048;
        long best = Long.MAX_VALUE;
        try (var scope = Scope.open();
                var off = Grad.off()) {
            Tensor a_NxN = torch.rand(n, n).to(type);
            for (int i = 0; i < 10; i++) {
                long start = System.nanoTime();
                Linear.of(a_NxN, a_NxN).close(); // which avoids types in which the processor is slow
                best = Math.min(best, System.nanoTime() - start);
            }
        }
        return 2.0 * n * n * n / (best / 1e9);
    }

    /** Returns the best rate of several sums over more memory than any cache holds, in bytes per second. */
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

    private static double rounded(double value) {
        return Double.parseDouble(String.format(Locale.ROOT, "%.4g", value));
    }
}
