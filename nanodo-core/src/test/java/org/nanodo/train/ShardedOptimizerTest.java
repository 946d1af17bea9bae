package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.IntPredicate;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.TinyRun;
import org.nanodo.checkpoint.Slice;
import org.nanodo.model.Parameter;
import org.nanodo.optim.Adafactor;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.GroupedOptimizer;
import org.nanodo.optim.Lion;
import org.nanodo.optim.Muon;
import org.nanodo.optim.Optimizer;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * Law 4 for optimizers: updates of slices equal updates of whole parameters. Slices start and end in the middle of rows, and some
 * ranks hold no element of some parameters.
 */
class ShardedOptimizerTest {
    private static final int STEPS = 6;
    private static final double TOLERANCE = 5e-6;

    /** The concatenated parameters of each unit are cut into one part per rank. */
    private static final List<Map<String, long[]>> UNITS = List.of(root(), block(0), block(1));

    private static final long MATRICES_IN_BLOCK = 4 * 35 + 55 + 55;

    private static Map<String, long[]> root() {
        var root = new LinkedHashMap<String, long[]>();
        root.put("embed", new long[] {97, 5});
        root.put("pos_embed", new long[] {7, 5});
        root.put("out_norm", new long[] {5});
        return root;
    }

    private static Map<String, long[]> block(int i) {
        var block = new LinkedHashMap<String, long[]>();
        block.put("blocks." + i + ".norm1", new long[] {5});
        block.put("blocks." + i + ".query", new long[] {5, 1, 7});
        block.put("blocks." + i + ".key", new long[] {5, 1, 7});
        block.put("blocks." + i + ".value", new long[] {5, 1, 7});
        block.put("blocks." + i + ".attn_out", new long[] {1, 7, 5});
        block.put("blocks." + i + ".norm2", new long[] {5});
        block.put("blocks." + i + ".mlp_in", new long[] {5, 11});
        block.put("blocks." + i + ".mlp_out", new long[] {11, 5});
        return block;
    }

    private static final Adafactor ADAFACTOR = Adafactor.with().minFactored(5);

    static Stream<Optimizer> rules() {
        return Stream.of(
                ADAFACTOR,
                grouped(ADAFACTOR.momentum(0.9)),
                grouped(ADAFACTOR.factored(false).parameterScale(false)),
                ADAFACTOR.clip(0.3).momentum(0.5).minFactored(7),
                Muon.with(),
                grouped(Muon.with().nesterov(false).scale(Muon.Scale.spectral()))
                        .others(grouped(ADAFACTOR)),
                Muon.with().matrices((name, shape) -> shape.length > 1).others(ADAFACTOR),
                Muon.with().dtype(Dtype.BFLOAT16).others(Lion.with()),
                grouped(AdamW.with()),
                grouped(Lion.with()));
    }

    private static <R extends GroupedOptimizer<R>> R grouped(R rule) {
        return rule.weightDecay(0.3)
                .decays(name -> !name.contains("norm"))
                .multiplier(name -> name.contains("mlp") || name.contains("blocks.1") ? 0.5 : 1);
    }

    /** The result on a rank, or in a single process. */
    private record Outcome(Map<String, Slice> parameters, Map<String, Slice> state, List<Long> sums) {}

    @ParameterizedTest
    @MethodSource("rules")
    void overSlicesAsOverWholeParameters(Optimizer rule) throws Exception {
        Outcome whole =
                ThreadRanks.run(1, ranks -> train(rule, ranks, number -> false)).get(0);
        assertThat(whole.sums)
                .as("one process sums nothing but its elements at the start")
                .isEmpty();
        for (int world : new int[] {2, 3}) {
            List<Outcome> outcomes = ThreadRanks.run(world, ranks -> train(rule, ranks, number -> false));
            for (Outcome outcome : outcomes) {
                assertThat(error(outcome.parameters, whole.parameters)).isLessThan(TOLERANCE);
                assertThat(error(outcome.state, whole.state)).isLessThan(TOLERANCE);
                assertThat(outcome.state.keySet()).isEqualTo(whole.state.keySet());
                outcome.state.forEach((name, slice) -> {
                    if (slice.isAll() && name.matches("adafactor\\.(row|column).*")) {
                        assertThat(Tensors.toFloats(slice.values()))
                                .as(name)
                                .isEqualTo(Tensors.toFloats(
                                        outcomes.get(0).state.get(name).values()));
                    }
                });
            }
            whole.parameters.forEach((name, slice) -> assertThat(outcomes.stream()
                            .mapToLong(o -> o.parameters.get(name).values().numel())
                            .sum())
                    .as("elements of " + name + " that have been compared")
                    .isEqualTo(slice.values().numel()));
        }
    }

    /** Without the first or the second of a rule's two sums, the error exceeds the tolerance by far. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void aSumThatIsLostShows(int lost) throws Exception {
        for (Optimizer rule : List.of(ADAFACTOR, ADAFACTOR.momentum(0.9), Muon.with())) {
            Outcome whole = ThreadRanks.run(1, ranks -> train(rule, ranks, number -> false))
                    .get(0);
            for (Outcome outcome : ThreadRanks.run(3, ranks -> train(rule, ranks, number -> number % 2 == lost))) {
                assertThat(error(outcome.parameters, whole.parameters))
                        .as("%s", rule)
                        .isGreaterThan(1000 * TOLERANCE);
            }
        }
    }

    @Test
    void adafactorSumsTwiceAnUpdate() throws Exception {
        List<Long> sums = ThreadRanks.run(3, ranks -> train(ADAFACTOR, ranks, number -> false))
                .get(0)
                .sums;
        long rowsAndColumns = 97 + 5 + 7 + 5 + 2 * (4 * (5 + 7) + 2 * (5 + 11));
        long rootMeanSquares = 2 * (3 + 2 * 8);
        assertThat(sums).hasSize(2 * STEPS);
        for (int i = 0; i < sums.size(); i += 2) {
            assertThat(sums.subList(i, i + 2)).containsExactly(rowsAndColumns, rootMeanSquares);
        }
    }

    /** No more whole matrices are in memory than those of one sum. */
    @Test
    void muonSumsOneBlocksMatricesAtATime() throws Exception {
        List<Long> sums = ThreadRanks.run(3, ranks -> train(Muon.with(), ranks, number -> false))
                .get(0)
                .sums;
        assertThat(sums).hasSize(2 * 2 * STEPS).containsOnly(MATRICES_IN_BLOCK);
    }

    /** Gradients, scale and learning rate change with the steps; two steps are skipped and must change nothing. */
    private static Outcome train(Optimizer rule, ThreadRanks ranks, IntPredicate loses) {
        var random = new Random(5);
        List<Parameter> parameters = slices(ranks.rank(), ranks.world(), random);
        try (var state = rule.start(parameters, ranks)) {
            ranks.loses(loses);
            for (int step = 1; step <= STEPS; step++) {
                try (var scope = Scope.open()) {
                    boolean skip = step == 1 || step == 4;
                    for (Parameter p : parameters) {
                        Slice slice = p.slice();
                        Tensor gradient = random(random, slice.shape()).view(-1);
                        if (skip) {
                            Tensors.fill(gradient.narrow(0, 0, 1), Double.NaN);
                        }
                        p.tensor()
                                .mutable_grad()
                                .put(gradient.narrow(0, slice.start(), p.numel())
                                        .view(p.shape()));
                    }
                    var before = copies(parameters, state);
                    state.update(step, 0.01 * step, number(skip ? Double.NaN : 3 + step), number(skip ? 1 : 0));
                    if (skip) {
                        TinyRun.assertSameBits(copies(parameters, state), before);
                    }
                }
            }
            var values = new LinkedHashMap<String, Slice>();
            parameters.forEach(p -> values.put(p.name(), p.slice()));
            var moments = new LinkedHashMap<String, Slice>();
            state.tensors()
                    .forEach((name, slice) ->
                            moments.put(name, slice.with(slice.values().clone())));
            return new Outcome(values, moments, List.copyOf(ranks.sums()));
        }
    }

    private static List<Parameter> slices(int rank, int world, Random random) {
        var parameters = new ArrayList<Parameter>();
        for (Map<String, long[]> unit : UNITS) {
            long numel = unit.values().stream()
                    .mapToLong(ShardedOptimizerTest::numel)
                    .sum();
            long S = (numel + world - 1) / world;
            long begin = rank * S; // in the unit, as the start of each parameter
            long start = 0;
            for (var shape : unit.entrySet()) {
                Tensor whole = random(random, shape.getValue());
                long end = start + numel(shape.getValue());
                long first = Math.min(Math.max(start, begin), end);
                long length = Math.max(0, Math.min(end, begin + S) - first);
                parameters.add(
                        world == 1
                                ? new Parameter(shape.getKey(), whole)
                                : new Parameter(
                                        shape.getKey(),
                                        new Slice(
                                                whole.view(-1)
                                                        .narrow(0, first - start, length)
                                                        .clone(),
                                                shape.getValue(),
                                                first - start)));
                start = end;
            }
        }
        return parameters;
    }

    /** Returns the largest max|a − b| / max|b| of all tensors, b being the same elements of the whole tensor. */
    private static double error(Map<String, Slice> slices, Map<String, Slice> wholes) {
        double worst = 0;
        for (var entry : slices.entrySet()) {
            Slice slice = entry.getValue();
            float[] a = Tensors.toFloats(slice.values());
            float[] b = Tensors.toFloats(wholes.get(entry.getKey()).values());
            double scale = 0;
            for (float x : b) {
                scale = Math.max(scale, Math.abs(x));
            }
            for (int i = 0; i < a.length; i++) {
                worst = Math.max(worst, Math.abs(a[i] - b[(int) slice.start() + i]) / scale);
            }
        }
        return worst;
    }

    @Test
    void slicesThatAreNotTheParameterAreRefused() throws Exception {
        for (Optimizer rule : List.of(Adafactor.with(), Muon.with())) {
            assertThatThrownBy(() -> rule.start(slices(1, 3, new Random(5))))
                    .hasMessageContaining("elements, but the 1 rank(s) that the rule was started with hold")
                    .hasMessageContaining("start it with the ranks that the parameters are divided between");
            assertThatThrownBy(() -> ThreadRanks.run(2, ranks -> rule.start(slices(0, 1, new Random(5)), ranks)))
                    .hasMessageContaining("elements, but the 2 rank(s) that the rule was started with hold")
                    .hasMessageContaining("or with none if this process holds all of them");
        }
    }

    private static Map<String, Tensor> copies(List<Parameter> parameters, Optimizer.State state) {
        var copies = new LinkedHashMap<String, Tensor>();
        parameters.forEach(p -> copies.put(p.name(), p.tensor().clone()));
        state.tensors().forEach((name, slice) -> copies.put(name, slice.values().clone()));
        return copies;
    }

    private static long numel(long... shape) {
        return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    }

    private static Tensor random(Random random, long... shape) {
        double[] values = random.doubles(numel(shape), -1, 1).toArray();
        return Tensors.doubles(Device.cpu(), values, shape).to(torch.ScalarType.Float);
    }

    private static Tensor number(double value) {
        return Tensors.floats(Device.cpu(), new float[] {(float) value});
    }
}
