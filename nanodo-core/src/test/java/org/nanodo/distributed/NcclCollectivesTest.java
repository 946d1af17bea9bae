package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.PrefixStore;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Ranks are processes, and NCCL is its stand-in. */
@Tag("slow")
class NcclCollectivesTest {
    @BeforeAll
    static void compile() throws Exception {
        NcclStandIn.assumePossible();
    }

    static final class Parity {
        public static void main(String[] args) {
            try (var store = NcclStandIn.store();
                    var nccl = NcclStandIn.collectives(store, Duration.ofSeconds(60))) {
                try (var scope = Scope.open()) {
                    nothing(nccl);
                    badTypes(nccl);
                }
                CollectivesParity.check(
                        nccl,
                        ScalarType.Float,
                        ScalarType.BFloat16,
                        ScalarType.Long,
                        ScalarType.Double,
                        ScalarType.Int,
                        ScalarType.Byte);
            }
        }

        private static void nothing(NcclCollectives nccl) {
            nccl.allReduce(Tensors.empty(Device.cpu(), ScalarType.Float, 0)).await();
        }

        private static void badTypes(NcclCollectives nccl) {
            Tensor five = Tensors.zeros(Device.cpu(), 5);
            assertThatThrownBy(() -> nccl.reduceScatter(
                            five.to(ScalarType.Long), Tensors.zeros(Device.cpu(), 5L * nccl.world())))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("Float and the shard of Long");
            assertThatThrownBy(() -> nccl.allReduce(five.to(ScalarType.Bool)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("Bool");
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void everyCollectiveTypeAndLengthGivesWhatItShould(int world) throws Exception {
        assertThat(run(Parity.class, world, "500"))
                .allSatisfy(output -> assertThat(output).contains("all equal"));
    }

    /** A communicator fails in each way there is, the next one on the same store works, and in the end ranks die. */
    static final class Faults {
        private static final Duration LIMIT = Duration.ofSeconds(1);

        private final Store store = NcclStandIn.store();
        private final int rank = Integer.parseInt(System.getenv("RANK"));

        public static void main(String[] args) {
            var faults = new Faults();
            faults.at(
                    1,
                    "error",
                    "of rank 1 of 3 ranks failed: NCCL reports unhandled system error",
                    "rank 1 failed: allReduce");
            faults.at(
                    1,
                    "async",
                    "of rank 1 of 3 ranks failed: NCCL reports unhandled system error",
                    "rank 1 failed: allReduce");
            faults.at(
                    2,
                    "hang",
                    "allReduce, collective 2 of rank 2 of 3 ranks did not end within 1.0 s",
                    "did not end within 1.0 s");
            faults.at(
                    0,
                    "call",
                    "allReduce, collective 2 of rank 0 of 3 ranks did not end within 1.0 s",
                    "did not end within 1.0 s");
            faults.initHangs();
            faults.aRankIsBehind();
            faults.ranksDieOneAfterTheOther();
        }

        /** What goes wrong on one rank, and what this and the other ranks are told. */
        private void at(int culprit, String fault, String itself, String others) {
            meet(fault);
            try (var nccl = NcclStandIn.collectives(store, LIMIT)) {
                Tensor sum = Tensors.zeros(Device.cpu(), 10);
                nccl.allReduce(sum).await();
                if (rank == culprit) {
                    NcclStandIn.fault(fault + "@" + (NcclStandIn.calls() + 1));
                }
                assertThatThrownBy(() -> nccl.allReduce(sum).await())
                        .as(fault)
                        .isInstanceOf(CollectiveException.class)
                        .hasMessageContaining(rank == culprit ? itself : others);
                assertThatThrownBy(nccl::barrier)
                        .as("after that")
                        .isInstanceOf(CollectiveException.class)
                        .hasMessageContaining(rank == culprit ? itself : others);
            }
        }

        private void initHangs() {
            meet("initHangs");
            NcclStandIn.fault("init@0");
            assertThatThrownBy(() -> NcclStandIn.collectives(store, LIMIT))
                    .isInstanceOf(CollectiveException.class)
                    .hasMessageContaining("rank " + rank + " of 3 ranks was not ready within 1.0 s");
            NcclStandIn.fault("");
        }

        /** Alive, but elsewhere. */
        private void aRankIsBehind() {
            meet("aRankIsBehind");
            try (var nccl = NcclStandIn.collectives(store, LIMIT)) {
                nccl.barrier();
                if (rank != 1) {
                    assertThatThrownBy(nccl::barrier).hasMessageContaining("rank 1 has not begun it");
                }
                meet("behind");
            }
        }

        private void ranksDieOneAfterTheOther() {
            meet("last");
            try (var nccl = NcclStandIn.collectives(store, LIMIT)) {
                nccl.barrier();
                if (rank == 1) {
                    die();
                }
                assertThatThrownBy(nccl::barrier).hasMessageContaining("rank 1 is gone");
            }
            assertThatThrownBy(() -> NcclStandIn.collectives(store, LIMIT))
                    .isInstanceOf(CollectiveException.class)
                    .hasMessageContaining("Not all 3 ranks arrived within 1.0 s")
                    .hasMessageContaining("misses rank 1");
            try (var nccl = NcclCollectives.of(new PrefixStore("two", store), rank / 2, 2, Device.cpu(), LIMIT)) {
                nccl.barrier();
                if (rank == 0) {
                    die(); // and the store with it
                }
                assertThatThrownBy(nccl::barrier).hasMessageContaining("the store does not answer: rank 0");
                die();
            }
        }

        private static void die() {
            System.out.println("all as it should be");
            System.out.flush();
            Runtime.getRuntime().halt(1);
        }

        /** The ranks learn of a failure at different times; the next part starts when all are there. */
        private void meet(String where) {
            long arrived = store.add(where, 1);
            for (int polls = 0; arrived < 3; polls++) {
                assertThat(polls).as("polls for the other ranks at " + where).isLessThan(3000);
                Peers.sleep(Duration.ofMillis(10));
                arrived = store.add(where, 0);
            }
        }
    }

    @Test
    void whatGoesWrongIsToldOnEveryRankAndEndsEveryWait() throws Exception {
        assertThat(run(Faults.class, 3, "0"))
                .allSatisfy(output -> assertThat(output).contains("all as it should be"));
    }

    @Test
    void missingLibrariesAreExplained() {
        assertThatThrownBy(() -> NcclCollectives.of(null, 0, 1, Device.cpu(), Duration.ofSeconds(1)))
                .hasMessageContaining("CUDA");
    }

    /** What each rank printed, in whatever way it ended. */
    private static List<String> run(Class<?> main, int world, String delayMicros) throws Exception {
        int port = RankProcesses.freePort();
        List<Map<String, String>> environments = new ArrayList<>();
        for (int rank = 0; rank < world; rank++) {
            Map<String, String> environment = RankProcesses.environment(rank, world, port);
            environment.putAll(NcclStandIn.environment());
            environment.put("NCCL_STAND_IN_DELAY_US", delayMicros);
            environments.add(environment);
        }
        return RankProcesses.runAll(environments, main).stream()
                .map(RankProcesses.Ended::output)
                .toList();
    }
}
