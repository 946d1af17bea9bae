package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.data.Batch;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.Parameter;
import org.nanodo.model.TransformerConfig;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.Optimizer;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.runtime.Timeline;
import org.nanodo.runtime.Timeline.Span;
import org.nanodo.train.MicroBatch;

/** What sharding is for: memory that shrinks with the ranks, and communication beside the computation. */
@Tag("slow")
class FsdpCostTest {
    private static final long MIB = 1 << 20;

    /** Blocks of 27 MiB each, next to which everything else is small. */
    private static final TransformerConfig CONFIG =
            TransformerConfig.builder().D(768).H(12).L(16).N(4).V(259).F(3072).build();

    private static Batch batch(int L) {
        return Batch.of(L, new int[L], L);
    }

    private static void step(Fsdp fsdp, Optimizer.State optimizer, Batch batch, long step) {
        try (var scope = Scope.open()) {
            fsdp.lossAndGradients(MicroBatch.of(batch));
            Tensor one = Tensors.floats(Device.cpu(), new float[] {1});
            optimizer.update(step, 1e-3, one, Tensors.zeros(Device.cpu()));
            fsdp.clearGradients();
        }
    }

    /** The most that is allocated while it runs, looked at as often as the processor allows. */
    private static final class PeakMemory extends Thread {
        private volatile boolean ended;
        private volatile long peak;

        PeakMemory() {
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            while (!ended) {
                peak = Math.max(peak, Memory.allocatedBytes());
                Thread.onSpinWait();
            }
        }

        long end() throws InterruptedException {
            ended = true;
            join();
            return peak;
        }
    }

    static final class MemoryMain {
        public static void main(String[] args) throws Exception {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = meeting.collectives(Device.cpu())) {
                warmUp(ranks);
                long before = Memory.allocatedBytes();
                var sharding = new PeakMemory();
                try (var model = DecoderModel.create(CONFIG, 1);
                        var fsdp = Fsdp.of(ranks).shard(model)) {
                    long shardingPeak = sharding.end() - before;
                    try (var optimizer = AdamW.with().start(fsdp.parameters())) {
                        step(fsdp, optimizer, batch(8), 1);
                        long persistent = Memory.allocatedBytes() - before;
                        var stepping = new PeakMemory();
                        for (int i = 2; i <= 4; i++) {
                            step(fsdp, optimizer, batch(8), i);
                        }
                        long peak = stepping.end() - before;

                        long P = model.parameterCount();
                        long W = ranks.world();
                        System.out.printf(
                                "persistent %d, 16·P/W %d; sharding %d; peak above persistent %d%n",
                                persistent, 16 * P / W, shardingPeak, peak - persistent);
                        assertThat((double) persistent).isBetween(16.0 * P / W * 0.99, 16.0 * P / W * 1.01);
                        long block = count(model.blocks().get(0).parameters());
                        long root = P - model.blocks().size() * block;
                        assertThat(peak - persistent).isLessThan((4 * block + 2 * root) * 4 + 16 * MIB);
                        assertThat(shardingPeak)
                                .as("values, gradients and one parameter")
                                .isLessThan(8 * P / W + 4L * CONFIG.D() * CONFIG.F() * 2 + MIB);
                    }
                }
            }
            System.out.println("within bounds");
        }

        /** Buffers of the transport, threads and kernels' workspaces come with the first use. */
        private static void warmUp(Collectives ranks) {
            var small = TransformerConfig.builder()
                    .D(64)
                    .H(8)
                    .L(16)
                    .N(2)
                    .V(259)
                    .F(256)
                    .build();
            try (var model = DecoderModel.create(small, 1);
                    var fsdp = Fsdp.of(ranks).shard(model);
                    var optimizer = AdamW.with().start(fsdp.parameters())) {
                step(fsdp, optimizer, batch(8), 1);
            }
        }

        private static long count(List<Parameter> parameters) {
            return parameters.stream().mapToLong(Parameter::numel).sum();
        }
    }

    /** Interpreted, for Java's compilers take tens of MiB now and then, out of the same memory. */
    @Test
    void aRankHoldsItsPartAndFewBlocks() throws Exception {
        var environments = RankProcesses.environments(2);
        environments.forEach(environment -> environment.put("JAVA_TOOL_OPTIONS", "-Xint"));
        assertThat(RankProcesses.runAll(environments, MemoryMain.class))
                .allSatisfy(rank -> assertThat(rank.output()).contains("within bounds"));
    }

    static final class OverlapMain {
        public static void main(String[] args) throws Exception {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = GlooCollectives.class.cast(meeting.collectives(Device.cpu()))) {
                var prefetching = record(ranks, true);
                prefetching.write(Path.of(args[0], "rank" + ranks.rank() + ".json"));
                assertThat(overlaps(prefetching.spans(), "allGather")).isGreaterThan(CONFIG.N());
                assertThat(overlaps(prefetching.spans(), "reduceScatter")).isGreaterThan(0);
                assertThat(overlaps(record(ranks, false).spans(), "allGather")).isZero();
            }
            System.out.println("overlapped");
        }

        private static Timeline record(GlooCollectives ranks, boolean prefetch) {
            var timeline = Timeline.of(ranks.rank());
            ranks.timeline(timeline);
            try (var model = DecoderModel.create(CONFIG, 1);
                    var fsdp =
                            Fsdp.of(ranks).prefetch(prefetch).timeline(timeline).shard(model);
                    var optimizer = AdamW.with().start(fsdp.parameters())) {
                for (int i = 1; i <= 3; i++) {
                    step(fsdp, optimizer, batch(CONFIG.L()), i);
                }
            }
            ranks.barrier();
            ranks.timeline(Timeline.NONE);
            return timeline;
        }

        /** How many such collectives ran while a unit computed. */
        private static long overlaps(List<Span> spans, String collective) {
            var computing = new ArrayList<Span>();
            spans.stream().filter(span -> span.track().equals("compute")).forEach(computing::add);
            return spans.stream()
                    .filter(span -> span.name().equals(collective))
                    .filter(span -> computing.stream()
                            .anyMatch(
                                    unit -> span.startNanos() < unit.endNanos() && unit.startNanos() < span.endNanos()))
                    .count();
        }
    }

    @TempDir
    Path traces;

    @Test
    void communicationRunsBesideComputation() throws Exception {
        assertThat(RankProcesses.run(2, OverlapMain.class, traces.toString()))
                .allSatisfy(output -> assertThat(output).contains("overlapped"));
        var events = new ObjectMapper().readTree(traces.resolve("rank1.json").toFile());
        assertThat(events.size()).isGreaterThan(60);
        assertThat(events).allSatisfy(event -> {
            assertThat(event.get("ph").asText()).isEqualTo("X");
            assertThat(event.get("pid").asInt()).isEqualTo(1);
            assertThat(event.get("dur").asDouble()).isNotNegative();
        });
        assertThat(events)
                .anySatisfy(event -> assertThat(event.get("name").asText()).isEqualTo("block 3 backward"));
    }
}
