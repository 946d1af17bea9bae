package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.nanodo.data.PackedDataset;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.source.TextSource;
import org.nanodo.train.DivergedException;
import org.nanodo.train.Loss;
import org.nanodo.train.Trainer;
import org.nanodo.train.TrainerBuilder;

/** No rank goes on without the others. */
@Tag("slow")
class FsdpFaultTest {
    private static final TransformerConfig CONFIG =
            TransformerConfig.builder().D(32).H(4).L(16).N(2).V(259).F(64).build();

    private static TrainerBuilder trainer(DecoderModel model, Fsdp fsdp) {
        return Trainer.of(model)
                .data(PackedDataset.of(TextSource.of("All ranks or none. ".repeat(50)))
                        .length(16)
                        .batch(6))
                .engine(fsdp)
                .steps(1_000);
    }

    /** Kills its process in the middle of some all-gather or reduce-scatter. */
    private record Deadly(Collectives ranks, String fatal, int[] left) implements Collectives {
        @Override
        public int rank() {
            return ranks.rank();
        }

        @Override
        public int world() {
            return ranks.world();
        }

        @Override
        public Handle allGather(Tensor whole_WxS, Tensor shard_S) {
            countDown("allGather");
            return ranks.allGather(whole_WxS, shard_S);
        }

        @Override
        public Handle reduceScatter(Tensor sum_S, Tensor whole_WxS) {
            countDown("reduceScatter");
            return ranks.reduceScatter(sum_S, whole_WxS);
        }

        @Override
        public Handle allReduce(Tensor sum) {
            return ranks.allReduce(sum);
        }

        @Override
        public Handle broadcast(Tensor tensor, int root) {
            return ranks.broadcast(tensor, root);
        }

        @Override
        public void barrier() {
            ranks.barrier();
        }

        @Override
        public void close() {
            ranks.close();
        }

        private void countDown(String collective) {
            if (collective.equals(fatal) && --left[0] == 0) {
                try {
                    String pid = String.valueOf(ProcessHandle.current().pid());
                    new ProcessBuilder("kill", "-9", pid).start().waitFor();
                    Thread.sleep(60_000);
                } catch (IOException | InterruptedException e) {
                    throw new AssertionError(e);
                }
            }
        }
    }

    /** Trains; one rank is killed after so many of a collective. */
    static final class KilledMain {
        public static void main(String[] args) throws Exception {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = meeting.collectives(Device.cpu());
                    var model = DecoderModel.create(CONFIG, 1);
                    var fsdp = Fsdp.of(
                                    ranks.rank() == Integer.parseInt(args[0])
                                            ? new Deadly(ranks, args[1], new int[] {Integer.parseInt(args[2])})
                                            : ranks)
                            .shard(model);
                    var trainer = trainer(model, fsdp).build()) {
                trainer.run();
            } catch (CollectiveException e) {
                System.out.println(e.getMessage());
                System.exit(1);
            }
        }
    }

    /** A step gathers five times: the root, and each of two blocks twice. */
    @Test
    void othersNameARankThatIsKilledInItsForwardPass() throws Exception {
        assertThat(survivors(1, "allGather", 5 * 3 + 3)).allSatisfy(output -> assertThat(output)
                .contains("allGather, collective ")
                .contains("of 3 ranks, failed: rank 1 is gone"));
    }

    @Test
    void othersNameARankThatIsKilledInItsBackwardPassEvenWithTheStore() throws Exception {
        assertThat(survivors(0, "reduceScatter", 3 * 3 + 2)).allSatisfy(output -> assertThat(output)
                .contains("reduceScatter, collective ")
                .contains("of 3 ranks, failed: the store does not answer: rank 0, or"));
    }

    private static List<String> survivors(int victim, String collective, int count) throws Exception {
        return RankProcesses.others(
                victim, RankProcesses.environments(3), KilledMain.class, collective, String.valueOf(count));
    }

    /** What one rank sees or is told, all do. */
    static final class DecisionsMain {
        public static void main(String[] args) throws Exception {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = meeting.collectives(Device.cpu())) {
                boolean last = ranks.rank() == ranks.world() - 1;
                long[] stopped = new long[1];
                try (var model = DecoderModel.create(CONFIG, 1);
                        var fsdp = Fsdp.of(ranks).shard(model)) {
                    Trainer[] running = new Trainer[1];
                    try (var trainer = trainer(model, fsdp)
                            .listen(metrics -> {
                                if (last && metrics.step() == 5) {
                                    running[0].stop();
                                }
                            })
                            .build()) {
                        running[0] = trainer;
                        trainer.run();
                        stopped[0] = trainer.step();
                    }
                }
                try (var model = DecoderModel.create(CONFIG, 1);
                        var fsdp = Fsdp.of(ranks).shard(model);
                        var trainer = trainer(model, fsdp)
                                .loss(last ? notANumberAtStep(4) : Loss.crossEntropy())
                                .build()) {
                    assertThatThrownBy(trainer::run)
                            .isInstanceOfSatisfying(DivergedException.class, e -> assertThat(e.step())
                                    .isEqualTo(4));
                }
                System.out.println("stopped after " + stopped[0] + ", then diverged");
            }
        }

        private static Loss notANumberAtStep(int step) {
            int[] steps = new int[1];
            return chunk -> {
                Tensor sum = Loss.crossEntropy().sum(chunk);
                return ++steps[0] == step ? sum.mul(new Scalar(Double.NaN)) : sum;
            };
        }
    }

    @Test
    void allStopTogetherAndDivergeTogether() throws Exception {
        List<String> outputs = RankProcesses.run(2, DecisionsMain.class);
        assertThat(outputs).allSatisfy(output -> assertThat(output).contains("stopped after 8, then diverged"));
    }
}
