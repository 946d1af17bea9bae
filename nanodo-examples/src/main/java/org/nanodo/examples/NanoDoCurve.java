package org.nanodo.examples;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.markers.SeriesMarkers;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.data.PackedDataset;
import org.nanodo.files.Json;
import org.nanodo.model.FlaxNames;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.Schedule;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;
import org.nanodo.source.TokenSource;
import org.nanodo.tokenizer.Tokenizer;
import org.nanodo.train.Trainer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Repeats a training run of the original NanoDO and draws both loss curves in one figure. */
@Command(
        name = "NanoDoCurve",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description =
                "Repeats 500 steps of the original NanoDO (JAX, float64) on tinyshakespeare's characters, from its "
                        + "own initial parameters and batches, and draws the loss of both.")
public final class NanoDoCurve implements Callable<Integer> {
    /** The batches of a recorded run as one sequence of tokens, which packing cuts into the same rows again. */
    private record Recorded(int... ids) implements TokenSource {
        @Override
        public int size() {
            return 1;
        }

        @Override
        public String name(int shard) {
            return "the recorded batches";
        }

        @Override
        public int[] ids(int index, Tokenizer tokenizer) {
            return ids;
        }

        @Override
        public String fingerprint() {
            return Integer.toHexString(Arrays.hashCode(ids));
        }
    }

    @Option(names = "--run", paramLabel = "FILE", description = "The recorded run.")
    private Path run = Path.of("nanodo-core/src/test/resources/golden/nanodo_curve.safetensors");

    @Option(names = "--figure", paramLabel = "FILE", description = "The file of the figure, a PNG.")
    private Path figure = Path.of("docs/figures/nanodo-curve.png");

    public static void main(String[] args) {
        Examples.main(new NanoDoCurve(), args);
    }

    @Override
    public Integer call() throws IOException {
        double[] theirs;
        List<Double> ours;
        try (var file = Safetensors.open(run);
                var batches = file.read("tokens", Device.cpu());
                var losses = file.read("loss", Device.cpu())) {
            theirs = Tensors.toDoubles(losses);
            float[] tokens_SxBxL = Tensors.toFloats(batches);
            int[] ids = new int[tokens_SxBxL.length];
            Arrays.setAll(ids, i -> (int) tokens_SxBxL[i]);
            JsonNode opt = Json.read(file.metadata().get("config"), JsonNode.class);
            ours = train(new Recorded(ids), (int) batches.size(1), opt);
        }
        double worst = 0;
        for (int step = 0; step < theirs.length; step++) {
            worst = Math.max(worst, Math.abs(theirs[step] - ours.get(step)));
        }
        draw(theirs, ours, worst);
        System.out.printf("%d steps, the losses differ by at most %.1e: %s%n", theirs.length, worst, figure);
        return 0;
    }

    private List<Double> train(Recorded tokens, int B, JsonNode opt) throws IOException {
        var losses = new ArrayList<Double>();
        long steps = opt.get("num_train_steps").asLong();
        try (var model = FlaxNames.load(run, "param.", Device.cpu());
                var progress = new Progress(steps);
                var trainer = Trainer.of(model)
                        .data(PackedDataset.of(tokens)
                                .tokenizer(new RandomTokens(model.config().V()))
                                .length(model.config().L())
                                .batch(B))
                        .optimizer(
                                AdamW.with().weightDecay(opt.get("weight_decay").asDouble()))
                        .schedule(Schedule.warmupCosine(
                                opt.get("init_learning_rate").asDouble(),
                                opt.get("peak_learning_rate").asDouble(),
                                opt.get("final_learning_rate").asDouble(),
                                opt.get("warmup_steps").asLong(),
                                steps))
                        .clip(opt.get("clip_by_global_norm").asDouble())
                        .steps(steps)
                        .listen(metrics -> losses.add(metrics.get("train_loss")))
                        .listen(progress)
                        .build()) {
            progress.startFrom(0);
            trainer.run();
        }
        return losses;
    }

    private void draw(double[] theirs, List<Double> ours, double worst) throws IOException {
        XYChart chart = new XYChartBuilder()
                .width(800)
                .height(450)
                .title(String.format("Loss on tinyshakespeare: at most %.1e apart", worst))
                .xAxisTitle("step")
                .yAxisTitle("nats a character")
                .build();
        double[] steps = new double[theirs.length];
        Arrays.setAll(steps, step -> step + 1);
        chart.addSeries("NanoDO (JAX, float64)", steps, theirs)
                .setMarker(SeriesMarkers.NONE)
                .setLineWidth(6);
        chart.addSeries(
                        "NanoDO for Java (float32)",
                        steps,
                        ours.stream().mapToDouble(loss -> loss).toArray())
                .setMarker(SeriesMarkers.NONE)
                .setLineWidth(1.5f);
        Files.createDirectories(figure.toAbsolutePath().getParent());
        BitmapEncoder.saveBitmap(chart, figure.toString(), BitmapFormat.PNG);
    }
}
