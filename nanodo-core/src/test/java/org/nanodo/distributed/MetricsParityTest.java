package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.nanodo.data.PackedDataset;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.Schedule;
import org.nanodo.runtime.Device;
import org.nanodo.source.TextSource;
import org.nanodo.train.Trainer;
import org.nanodo.train.TrainerBuilder;

/** Every rank reports what one process would, of sharded parameters and of evaluations; rank 0 alone writes. */
@Tag("slow")
class MetricsParityTest {
    private static final PackedDataset DATA = PackedDataset.of(TextSource.of(IntStream.range(0, 30)
                    .mapToObj(i -> "The number after " + i + " is " + (i + 1) + ".\n")
                    .toArray(String[]::new)))
            .length(12)
            .batch(8)
            .epochs(1)
            .shuffle(5);

    static final class Main {
        public static void main(String[] args) throws Exception {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = meeting.collectives(Device.cpu());
                    var single = model();
                    var sharded = model();
                    var fsdp = Fsdp.of(ranks).shard(sharded)) {
                var written = new ArrayList<Metrics>();
                List<Metrics> expected = train(single, trainer -> trainer);
                List<Metrics> actual =
                        train(sharded, trainer -> trainer.engine(fsdp).write(written::add));
                assertThat(actual).hasSameSizeAs(expected).hasSizeGreaterThan(10);
                for (int i = 0; i < expected.size(); i++) {
                    check(actual.get(i), expected.get(i));
                }
                assertThat(written).isEqualTo(ranks.rank() == 0 ? actual : List.of());
                ranks.barrier();
            }
            System.out.println("all equal");
        }

        /** No size divides among the ranks. */
        private static DecoderModel model() {
            return DecoderModel.create(
                    TransformerConfig.builder()
                            .D(9)
                            .H(3)
                            .L(12)
                            .N(2)
                            .V(259)
                            .F(11)
                            .build(),
                    7);
        }

        private static List<Metrics> train(LanguageModel model, UnaryOperator<TrainerBuilder> engine) throws Exception {
            var metrics = new ArrayList<Metrics>();
            try (var trainer = engine.apply(Trainer.of(model))
                    .data(DATA)
                    .steps(1000)
                    .clip(1)
                    .schedule(Schedule.constant(1e-3))
                    .optimizer(AdamW.with().eps(1)) // smooth where gradients are near zero
                    .internalMetrics(1)
                    .evaluate(DATA, 10)
                    .evaluate("first", DATA, 4)
                    .evalSteps(3)
                    .listen(metrics::add)
                    .build()) {
                trainer.run();
            }
            return metrics;
        }

        /** Means are compared by the size of what they are means of, times are not. */
        private static void check(Metrics actual, Metrics expected) {
            assertThat(actual.step()).isEqualTo(expected.step());
            assertThat(actual.values().keySet()).isEqualTo(expected.values().keySet());
            expected.values().forEach((name, value) -> {
                if (!name.startsWith("seconds/") && !name.endsWith("_per_sec") && !name.equals("uptime")) {
                    double size = name.endsWith("/mean") || name.endsWith("/std")
                            ? expected.get(name.replaceAll("[a-z]+$", "rms"))
                            : value;
                    assertThat(actual.get(name)).as(actual.step() + " " + name).isCloseTo(value, within(size * 1e-4));
                }
            });
        }
    }

    @Test
    void ranksReportWhatOneProcessWould() throws Exception {
        assertThat(RankProcesses.runAll(RankProcesses.environments(2), Main.class))
                .allSatisfy(rank -> assertThat(rank.output()).contains("all equal"));
    }
}
