package org.nanodo.examples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.nanodo.data.PackedDataset;
import org.nanodo.distributed.Fsdp;
import org.nanodo.distributed.GlooCollectives;
import org.nanodo.distributed.Rendezvous;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Timeline;
import org.nanodo.source.TextSource;
import org.nanodo.train.Trainer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How fast a sharded model trains, and how much of the time its ranks spend on one another. */
@Command(
        name = "FsdpBenchmark",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description =
                "Trains on random tokens, sharded over the ranks that a launcher has started (torchrun, Slurm, mpirun), "
                        + "or alone. Rank 0 prints the medians of its steps.")
public final class FsdpBenchmark implements Callable<Integer> {
    @Mixin
    private final ModelOptions sizes = new ModelOptions("gpt2-124m");

    @Option(names = "--accumulate", description = "Micro-batches a step.")
    private int accumulate = 1;

    @Option(names = "--no-prefetch", description = "Gather a unit only when it is needed.")
    private boolean noPrefetch;

    @Option(names = "--no-reshard", description = "Keep blocks gathered between forward and backward.")
    private boolean noReshard;

    @Option(names = "--warmup", description = "Steps before measuring.")
    private int warmup = 2;

    @Option(names = "--steps", description = "Steps to measure, two or more.")
    private int steps = 5;

    @Option(
            names = "--trace",
            paramLabel = "DIR",
            description = "Write each rank's timeline there, for ui.perfetto.dev or chrome://tracing.")
    private Path trace;

    public static void main(String[] args) {
        Examples.main(new FsdpBenchmark(), args);
    }

    @Override
    public Integer call() throws IOException {
        TransformerConfig config = sizes.config();
        if (trace != null) {
            Files.createDirectories(trace);
        }
        try (var meeting = Rendezvous.join(Duration.ofMinutes(5));
                var ranks = meeting.collectives(meeting.device())) {
            var timeline = Timeline.of(ranks.rank());
            if (ranks instanceof GlooCollectives gloo) {
                gloo.timeline(timeline);
            }
            var measured = new ArrayList<Metrics>();
            long[] start = new long[1];
            Fsdp.Traffic[] before = new Fsdp.Traffic[1];
            try (var model = DecoderModel.create(config, 1, meeting.device());
                    var fsdp = Fsdp.of(ranks)
                            .prefetch(!noPrefetch)
                            .reshardAfterForward(!noReshard)
                            .timeline(timeline)
                            .shard(model);
                    var trainer = Trainer.of(model)
                            .engine(fsdp)
                            .data(PackedDataset.of(TextSource.of("a", "b", "c", "d", "e", "f", "g"))
                                    .tokenizer(new RandomTokens(config.V()))
                                    .length(sizes.length())
                                    .batch(sizes.batch()))
                            .accumulate(accumulate)
                            .clip(1)
                            .steps(warmup + steps)
                            .listen(metrics -> {
                                if (metrics.step() > warmup) {
                                    measured.add(metrics);
                                } else {
                                    start[0] = System.nanoTime();
                                    before[0] = fsdp.traffic();
                                }
                            })
                            .build()) {
                trainer.run();
                if (ranks.rank() == 0) {
                    print(model.parameterCount(), measured, timeline, start[0], before[0], fsdp.traffic());
                }
            }
            if (trace != null) {
                timeline.write(trace.resolve("rank" + ranks.rank() + ".json"));
            }
            ranks.barrier();
        }
        return 0;
    }

    private void print(
            long parameters,
            List<Metrics> measured,
            Timeline timeline,
            long start,
            Fsdp.Traffic before,
            Fsdp.Traffic after) {
        double step = Benchmark.median(measured, "train_ntokens", "tokens_per_sec");
        print("parameters", "%,.0f", parameters);
        print("threads a rank", "%.0f", Natives.threads());
        print("step", "%.1f ms", step * 1e3);
        print("tokens/s", "%.1f", sizes.batch() * sizes.length() / step);
        print("communication a step", "%.1f ms", millis(timeline, "collectives", start));
        print("of it waited for", "%.1f ms", millis(timeline, "wait", start));
        print("gathered a step", "%,.0f elements", (after.gathered() - before.gathered()) / counted());
        print("reduced a step", "%,.0f elements", (after.reduced() - before.reduced()) / counted());
        print("peak resident", "%.0f MiB", Memory.peakResidentBytes() >> 20);
    }

    private static void print(String name, String format, double value) {
        System.out.printf("%-22s " + String.format(Locale.ROOT, format, value) + "%n", name);
    }

    private double millis(Timeline timeline, String track, long start) {
        return timeline.spans().stream()
                        .filter(span -> span.track().equals(track) && span.startNanos() >= start)
                        .mapToLong(span -> span.endNanos() - span.startNanos())
                        .sum()
                / 1e6
                / counted();
    }

    /** The last step of the warmup is reported when the first to measure is over. */
    private double counted() {
        return steps - 1;
    }
}
