package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Ranks are processes that meet as torchrun's do. */
class GlooCollectivesTest {
    /** Every collective, type and length against what the ranks' known inputs give. */
    static final class Parity {
        public static void main(String[] args) {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = meeting.collectives(Device.cpu())) {
                for (var type : List.of(ScalarType.Float, ScalarType.BFloat16, ScalarType.Long, ScalarType.Double)) {
                    for (int length : new int[] {1, 7, 300_001}) {
                        try (var scope = Scope.open()) {
                            check(ranks, type, length);
                        }
                    }
                }
                closedBeforeTheEnd(ranks);
                badArguments(ranks);
                ranks.barrier();
            }
            System.out.println("all equal");
        }

        /** What a rank puts in: small enough for sums that every type holds exactly. */
        private static float[] input(int rank, int length) {
            float[] values = new float[length];
            for (int i = 0; i < length; i++) {
                values[i] = (i * 7 + rank * 5) % 13;
            }
            return values;
        }

        private static Tensor tensor(ScalarType type, float[] values) {
            return Tensors.floats(Device.cpu(), values, values.length).to(type);
        }

        private static void check(Collectives ranks, ScalarType type, int length) {
            int world = ranks.world();
            float[] concatenated = new float[world * length];
            float[] sum = new float[length];
            float[] sumOfWholes = new float[world * length];
            for (int rank = 0; rank < world; rank++) {
                float[] shard = input(rank, length);
                float[] whole = input(rank, world * length);
                System.arraycopy(shard, 0, concatenated, rank * length, length);
                add(sum, shard);
                add(sumOfWholes, whole);
            }
            Tensor gathered = Tensors.empty(Device.cpu(), type, (long) world * length);
            Tensor part = Tensors.empty(Device.cpu(), type, length);
            Tensor reduced = tensor(type, input(ranks.rank(), length));
            Tensor sent = tensor(type, input(ranks.rank(), length));
            List<Collectives.Handle> underWay = List.of(
                    ranks.allGather(gathered, tensor(type, input(ranks.rank(), length))),
                    ranks.reduceScatter(part, tensor(type, input(ranks.rank(), world * length))),
                    ranks.allReduce(reduced),
                    ranks.broadcast(sent, world - 1));
            underWay.forEach(Collectives.Handle::await);

            String what = type + " " + length;
            assertThat(Tensors.toFloats(gathered)).as("allGather " + what).isEqualTo(concatenated);
            int start = ranks.rank() * length;
            assertThat(Tensors.toFloats(part))
                    .as("reduceScatter " + what)
                    .isEqualTo(Arrays.copyOfRange(sumOfWholes, start, start + length));
            assertThat(Tensors.toFloats(reduced)).as("allReduce " + what).isEqualTo(sum);
            assertThat(Tensors.toFloats(sent)).as("broadcast " + what).isEqualTo(input(world - 1, length));
        }

        private static void add(float[] sum, float[] values) {
            for (int i = 0; i < sum.length; i++) {
                sum[i] += values[i];
            }
        }

        private static void closedBeforeTheEnd(Collectives ranks) {
            List<Collectives.Handle> underWay = new ArrayList<>();
            List<Tensor> results = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                Tensor gathered = Tensors.empty(Device.cpu(), ScalarType.Float, 1000L * ranks.world());
                try (Tensor shard = tensor(ScalarType.Float, input(ranks.rank() + i, 1000))) {
                    underWay.add(ranks.allGather(gathered, shard));
                }
                results.add(gathered);
            }
            for (int i = 19; i >= 0; i--) {
                underWay.get(i).await();
                float[] gathered = Tensors.toFloats(results.get(i));
                for (int rank = 0; rank < ranks.world(); rank++) {
                    assertThat(Arrays.copyOfRange(gathered, 1000 * rank, 1000 * rank + 1000))
                            .isEqualTo(input(rank + i, 1000));
                }
            }
        }

        private static void badArguments(Collectives ranks) {
            Tensor five = Tensors.zeros(Device.cpu(), 5);
            Tensor six = Tensors.zeros(Device.cpu(), 2, 3);
            assertThatThrownBy(() -> ranks.allGather(Tensors.zeros(Device.cpu(), 5L * ranks.world() + 1), five))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("the shard 5");
            assertThatThrownBy(() -> ranks.broadcast(five, ranks.world()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("no rank " + ranks.world());
            assertThatThrownBy(() -> ranks.allReduce(six.t()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("contiguous");
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void everyCollectiveTypeAndLengthGivesWhatItShould(int world) throws Exception {
        assertThat(RankProcesses.run(world, Parity.class))
                .allSatisfy(output -> assertThat(output).contains("all equal"));
    }

    /** One rank does not take part, or dies; prints what the others are told, and after how long. */
    static final class Fault {
        public static void main(String[] args) throws Exception {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(3));
                    var ranks = meeting.collectives(Device.cpu())) {
                ranks.barrier();
                if (ranks.rank() == Integer.parseInt(args[1])) {
                    if (args[0].equals("dies")) {
                        Runtime.getRuntime().halt(9);
                    }
                    Thread.sleep(6_000);
                    return;
                }
                ranks.allReduce(Tensors.zeros(Device.cpu(), 3)).await();
            } catch (CollectiveException e) {
                System.out.println(e.getMessage());
                System.exit(1);
            }
        }
    }

    @Test
    void aRankThatDiesIsNamed() throws Exception {
        assertThat(others(3, 1, "dies")).allSatisfy(output -> assertThat(output)
                .contains("allReduce, collective 2 of rank ")
                .contains("of 3 ranks, failed: rank 1 is gone"));
    }

    @Test
    void aRankThatTakesTheStoreWithItIsNamed() throws Exception {
        assertThat(others(3, 0, "dies"))
                .allSatisfy(output ->
                        assertThat(output).contains("allReduce, collective 2").contains("rank 0"));
    }

    @Test
    void aRankThatDoesNotTakePartIsNamed() throws Exception {
        assertThat(others(2, 1, "sleeps")).allSatisfy(output -> assertThat(output)
                .contains("allReduce, collective 2 of rank 0 of 2 ranks, failed: rank 1 has not begun it"));
    }

    private static List<String> others(int world, int victim, String fault) throws Exception {
        int port = RankProcesses.freePort();
        List<Map<String, String>> environments = IntStream.range(0, world)
                .mapToObj(rank -> RankProcesses.environment(rank, world, port))
                .toList();
        var ended = new ArrayList<>(RankProcesses.runAll(environments, Fault.class, fault, String.valueOf(victim)));
        ended.remove(victim);
        assertThat(ended)
                .allSatisfy(
                        rank -> assertThat(rank.exitCode()).as(rank.output()).isEqualTo(1));
        return ended.stream().map(RankProcesses.Ended::output).toList();
    }
}
