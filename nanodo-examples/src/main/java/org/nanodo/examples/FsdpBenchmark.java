package org.nanodo.examples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.nanodo.distributed.Fsdp;
import org.nanodo.distributed.GlooCollectives;
import org.nanodo.distributed.Rendezvous;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Timeline;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Measures how fast a sharded model trains, and how long its ranks communicate and wait for one another. */
@Command(
        name = "FsdpBenchmark",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description =
                "Trains on random tokens, sharded over the ranks that a launcher has started (torchrun, Slurm, mpirun), "
                        + "or alone. Rank 0 prints the medians of its steps.")
public final class FsdpBenchmark implements Callable<Integer> {
    @Mixin
    private final BenchmarkOptions options = new BenchmarkOptions("gpt2-124m", 2, 5);

    @Option(names = "--accumulate", description = "Micro-batches per step.")
    private int accumulate = 1;

    @Option(names = "--no-prefetch", description = "Gather a unit only when it is needed.")
    private boolean noPrefetch;

    @Option(names = "--no-reshard", description = "Keep blocks gathered between forward and backward.")
    private boolean noReshard;

    @Option(
            names = "--trace",
            paramLabel = "DIR",
            description = "Write each rank's timeline to this directory, for ui.perfetto.dev or chrome://tracing.")
    private Path trace;

    public static void main(String[] args) {
        Examples.main(new FsdpBenchmark(), args);
    }

    @Override
    public Integer call() throws IOException {
        TransformerConfig config = options.config();
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
                    var trainer = options.trainer(model)
                            .engine(fsdp)
                            .accumulate(accumulate)
                            .listen(step -> {
                                if (options.isMeasured(step)) {
                                    measured.add(step);
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
        double steps = measured.size() - 1; // the last step of the warmup is reported after the first measured one
        double step = BenchmarkOptions.seconds(measured);
        print("parameters", "%,.0f", parameters);
        print("threads per rank", "%.0f", Natives.threads());
        print("step", "%.1f ms", step * 1e3);
        print("tokens/s", "%.1f", options.batch() * options.length() / step);
        print("communication per step", "%.1f ms", millis(timeline, "collectives", start) / steps);
        print("of it waited for", "%.1f ms", millis(timeline, "wait", start) / steps);
        print("gathered per step", "%,.0f elements", (after.gathered() - before.gathered()) / steps);
        print("reduced per step", "%,.0f elements", (after.reduced() - before.reduced()) / steps);
        print("peak resident", "%.0f MiB", Memory.peakResidentBytes() >> 20);
    }

    private static void print(String name, String format, double value) {
        System.out.printf("%-22s " + String.format(Locale.ROOT, format, value) + "%n", name);
    }

    private static double millis(Timeline timeline, String track, long start) {
        return timeline.spans().stream()
                        .filter(span -> span.track().equals(track) && span.startNanos() >= start)
                        .mapToLong(span -> span.endNanos() - span.startNanos())
                        .sum()
                / 1e6;
    }
}
