package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.bytedeco.javacpp.chrono.Milliseconds;
import org.bytedeco.pytorch.PrefixStore;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.TCPStore;
import org.bytedeco.pytorch.TCPStoreOptions;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.TestJvm;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Collectives.Handle;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Ranks are processes, and NCCL is its stand-in. */
class NcclCollectivesTest {
    @BeforeAll
    static void compile() throws Exception {
        NcclStandIn.assumePossible();
    }

    /** Every collective, type and length against what the ranks' known inputs give. */
    static final class Parity {
        private final NcclCollectives nccl;
        private final int world;

        private Parity(NcclCollectives nccl) {
            this.nccl = nccl;
            this.world = nccl.world();
        }

        public static void main(String[] args) {
            try (var nccl = connect(store(args), args, Duration.ofSeconds(60))) {
                var parity = new Parity(nccl);
                for (var type : List.of(
                        ScalarType.Float,
                        ScalarType.BFloat16,
                        ScalarType.Long,
                        ScalarType.Double,
                        ScalarType.Int,
                        ScalarType.Byte)) {
                    for (int length : new int[] {1, 7, 300_001}) {
                        try (var scope = Scope.open()) {
                            parity.check(type, length);
                        }
                    }
                }
                try (var scope = Scope.open()) {
                    parity.manyAtOnce();
                    parity.group();
                    parity.badArguments();
                }
                nccl.barrier();
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

        private void check(ScalarType type, int length) {
            float[] whole = new float[world * length];
            float[] sum = new float[length];
            for (int rank = 0; rank < world; rank++) {
                float[] input = input(rank, length);
                System.arraycopy(input, 0, whole, rank * length, length);
                for (int i = 0; i < length; i++) {
                    sum[i] += input[i];
                }
            }
            String what = type + " " + length;

            Tensor gathered = Tensors.empty(Device.cpu(), type, (long) world * length);
            nccl.allGather(gathered, tensor(type, input(nccl.rank(), length))).await();
            assertEqual(what + " allGather", gathered, type, whole);

            Tensor reduced = tensor(type, input(nccl.rank(), length));
            nccl.allReduce(reduced).await();
            assertEqual(what + " allReduce", reduced, type, sum);

            // Every rank puts in the same whole, so that each part of the sum is a multiple of it.
            Tensor part = Tensors.empty(Device.cpu(), type, length);
            nccl.reduceScatter(part, tensor(type, whole)).await();
            float[] expected = input(nccl.rank(), length);
            for (int i = 0; i < length; i++) {
                expected[i] *= world;
            }
            assertEqual(what + " reduceScatter", part, type, expected);

            for (int root = 0; root < world; root++) {
                Tensor message = tensor(type, input(nccl.rank(), length));
                nccl.broadcast(message, root).await();
                assertEqual(what + " broadcast from " + root, message, type, input(root, length));
            }
        }

        private static void assertEqual(String what, Tensor actual, ScalarType type, float[] expected) {
            assertThat(Tensors.type(actual)).as(what).isEqualTo(type);
            assertThat(Tensors.toFloats(actual)).as(what).isEqualTo(expected);
        }

        /** Started together, awaited in another order, and their handles' tensors closed before that. */
        private void manyAtOnce() {
            nccl.allReduce(Tensors.empty(Device.cpu(), ScalarType.Float, 0)).await();
            List<Handle> handles = new ArrayList<>();
            List<Tensor> results = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                Tensor gathered = Tensors.empty(Device.cpu(), ScalarType.Float, 1000L * world);
                try (Tensor shard = tensor(ScalarType.Float, input(nccl.rank() + i, 1000))) {
                    handles.add(nccl.allGather(gathered, shard));
                }
                results.add(gathered);
            }
            for (int i = 19; i >= 0; i--) {
                handles.get(i).await();
                float[] gathered = Tensors.toFloats(results.get(i));
                for (int rank = 0; rank < world; rank++) {
                    assertThat(Arrays.copyOfRange(gathered, 1000 * rank, 1000 * rank + 1000))
                            .isEqualTo(input(rank + i, 1000));
                }
            }
        }

        private void group() {
            Tensor sum = tensor(ScalarType.Float, new float[] {1, 2, 3});
            Tensor count = tensor(ScalarType.Long, new float[] {nccl.rank()});
            Tensor gathered = Tensors.empty(Device.cpu(), ScalarType.Float, world);
            int before = NcclStandIn.launches();
            nccl.group(() -> {
                        nccl.allReduce(sum);
                        nccl.broadcast(count, world - 1);
                        nccl.allGather(gathered, tensor(ScalarType.Float, new float[] {nccl.rank()}));
                    })
                    .await();
            assertThat(NcclStandIn.launches()).isEqualTo(before + 1);
            assertEqual("sum of a group", sum, ScalarType.Float, new float[] {world, 2 * world, 3 * world});
            assertEqual("broadcast of a group", count, ScalarType.Long, new float[] {world - 1});
            for (int rank = 0; rank < world; rank++) {
                assertThat(Tensors.toFloats(gathered)[rank]).isEqualTo(rank);
            }
            nccl.group(() -> assertThatThrownBy(() -> nccl.allReduce(sum).await())
                            .hasMessageContaining("awaited after the group"))
                    .await();
        }

        private void badArguments() {
            Tensor five = tensor(ScalarType.Float, new float[5]);
            Tensor whole = tensor(ScalarType.Float, new float[5 * world + 1]);
            assertThatThrownBy(() -> nccl.allGather(whole, five))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("the whole has " + (5 * world + 1) + " elements")
                    .hasMessageContaining("the shard 5");
            assertThatThrownBy(() -> nccl.reduceScatter(
                            five.to(ScalarType.Long), tensor(ScalarType.Float, new float[5 * world])))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("Float and the shard of Long");
            assertThatThrownBy(() -> nccl.allReduce(five.to(ScalarType.Bool)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("Bool");
            assertThatThrownBy(() -> nccl.broadcast(five, world))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("no rank " + world);
            assertThatThrownBy(() -> nccl.allReduce(
                            tensor(ScalarType.Float, new float[6]).view(2, 3).t()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("contiguous");
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void everyCollectiveTypeAndLengthGivesWhatItShould(int world) throws Exception {
        var environment = new HashMap<>(NcclStandIn.environment());
        environment.put("NCCL_STAND_IN_DELAY_US", "500");
        assertThat(run(Parity.class, world, environment))
                .allSatisfy(output -> assertThat(output).contains("all equal"));
    }

    /** A communicator fails in each way there is, the next one on the same store works, and in the end ranks die. */
    static final class Faults {
        private static final Duration LIMIT = Duration.ofMillis(1500);

        private final Store store;
        private final String[] args;
        private final int rank;

        private Faults(String[] args) {
            this.args = args;
            this.store = store(args);
            this.rank = Integer.parseInt(args[0]);
        }

        public static void main(String[] args) {
            var faults = new Faults(args);
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
                    "allReduce, collective 2 of rank 2 of 3 ranks did not end within 1.5 s",
                    "did not end within 1.5 s");
            faults.at(
                    0,
                    "call",
                    "allReduce, collective 2 of rank 0 of 3 ranks did not end within 1.5 s",
                    "did not end within 1.5 s");
            faults.initHangs();
            faults.aRankIsBehind();
            faults.ranksDieOneAfterTheOther();
        }

        /** What goes wrong on one rank, and what this and the other ranks are told. */
        private void at(int culprit, String fault, String itself, String others) {
            meet(fault);
            try (var nccl = connect(store, args, LIMIT)) {
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
            assertThatThrownBy(() -> connect(store, args, LIMIT))
                    .isInstanceOf(CollectiveException.class)
                    .hasMessageContaining("rank " + rank + " of 3 ranks was not ready within 1.5 s");
            NcclStandIn.fault("");
        }

        /** Alive, but elsewhere. */
        private void aRankIsBehind() {
            meet("aRankIsBehind");
            try (var nccl = connect(store, args, LIMIT)) {
                nccl.barrier();
                if (rank != 1) {
                    assertThatThrownBy(nccl::barrier).hasMessageContaining("rank 1 has not begun it");
                }
                meet("behind");
            }
        }

        private void ranksDieOneAfterTheOther() {
            meet("last");
            try (var nccl = connect(store, args, LIMIT)) {
                nccl.barrier();
                if (rank == 1) {
                    die();
                }
                assertThatThrownBy(nccl::barrier).hasMessageContaining("rank 1 is gone");
            }
            assertThatThrownBy(() -> connect(store, args, LIMIT))
                    .isInstanceOf(CollectiveException.class)
                    .hasMessageContaining("Not all 3 ranks arrived within 1.5 s")
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
                Heartbeats.sleep(Duration.ofMillis(10));
                arrived = store.add(where, 0);
            }
        }
    }

    @Test
    void whatGoesWrongIsToldOnEveryRankAndEndsEveryWait() throws Exception {
        assertThat(run(Faults.class, 3, NcclStandIn.environment()))
                .allSatisfy(output -> assertThat(output).contains("all as it should be"));
    }

    @Test
    void missingLibrariesAreExplained() {
        try (var store = store("0", "1", "0")) {
            assertThatThrownBy(() -> connect(store, new String[] {"0", "1"}, Duration.ofSeconds(1)))
                    .hasMessageContaining("CUDA");
        }
    }

    /** What each rank printed, once all have ended. */
    private static List<String> run(Class<?> main, int world, Map<String, String> environment) throws Exception {
        String port;
        try (var socket = new ServerSocket(0)) {
            port = Integer.toString(socket.getLocalPort());
        }
        List<Process> processes = new ArrayList<>();
        for (int rank = 0; rank < world; rank++) {
            processes.add(TestJvm.start(
                    environment,
                    "-Dnanodo.threads=1",
                    main.getName(),
                    Integer.toString(rank),
                    Integer.toString(world),
                    port));
        }
        List<String> outputs = new ArrayList<>();
        for (Process process : processes) {
            if (!process.waitFor(2, TimeUnit.MINUTES)) {
                processes.forEach(Process::destroyForcibly);
            }
            outputs.add(new String(process.getInputStream().readAllBytes()));
        }
        return outputs;
    }

    private static NcclCollectives connect(Store store, String[] args, Duration timeout) {
        return NcclCollectives.of(store, Integer.parseInt(args[0]), Integer.parseInt(args[1]), Device.cpu(), timeout);
    }

    private static Store store(String... args) {
        Natives.start();
        try (var options = new TCPStoreOptions()) {
            options.port((short) Integer.parseInt(args[2])).isServer(args[0].equals("0"));
            options.timeout(new Milliseconds(30_000));
            return new TCPStore("127.0.0.1", options);
        }
    }
}
