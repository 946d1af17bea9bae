package org.nanodo.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.nanodo.Golden;
import org.nanodo.TestJvm;
import org.nanodo.TinyRun;
import org.nanodo.checkpoint.Slice;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.FlaxNames;
import org.nanodo.model.Parameter;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

class OptimizerTest {
    private static final Adafactor ADAFACTOR = Adafactor.with().minFactored(4);

    /** The parameters of a model with D=4, H=2, Dh=3, F=7, and each as an in×out matrix. */
    private static final Map<String, long[]> SHAPES = new LinkedHashMap<>();

    private static final Map<String, int[]> MATRICES = Map.of(
            "embed", new int[] {9, 4},
            "blocks.0.norm1", new int[] {4, 1},
            "blocks.0.query", new int[] {4, 6},
            "blocks.0.attn_out", new int[] {6, 4},
            "blocks.0.mlp_in", new int[] {4, 7});

    static {
        SHAPES.put("embed", new long[] {9, 4});
        SHAPES.put("blocks.0.norm1", new long[] {4});
        SHAPES.put("blocks.0.query", new long[] {4, 2, 3});
        SHAPES.put("blocks.0.attn_out", new long[] {2, 3, 4});
        SHAPES.put("blocks.0.mlp_in", new long[] {4, 7});
    }

    @TempDir
    Path workdir;

    private final Random random = new Random(7);

    static Stream<Arguments> rulesAndReferences() {
        AdamW adamW = grouped(AdamW.with());
        Lion lion = grouped(Lion.with());
        Muon muon = grouped(Muon.with().others(adamW));
        Muon plain = muon.nesterov(false).scale(Muon.Scale.spectral());
        return Stream.of(
                Arguments.of(adamW, ReferenceRule.adamW(adamW), null, 1e-6),
                Arguments.of(lion, ReferenceRule.lion(lion), null, 1e-6),
                adafactor(ADAFACTOR),
                adafactor(ADAFACTOR.factored(false).decayRate(0.6)),
                adafactor(ADAFACTOR.momentum(0.9)),
                adafactor(ADAFACTOR.parameterScale(false).clip(0.5).minFactored(5)),
                adafactor(ADAFACTOR.clip(Double.POSITIVE_INFINITY).eps(1e-3)),
                Arguments.of(muon, ReferenceRule.muon(muon), ReferenceRule.adamW(adamW), 1e-5),
                Arguments.of(plain, ReferenceRule.muon(plain), ReferenceRule.adamW(adamW), 1e-5));
    }

    private static Arguments adafactor(Adafactor rule) {
        Adafactor grouped = grouped(rule);
        return Arguments.of(grouped, ReferenceRule.adafactor(grouped), null, 1e-6);
    }

    private static <R extends GroupedOptimizer<R>> R grouped(R rule) {
        return rule.weightDecay(0.3)
                .decays(name -> !name.contains("norm"))
                .multiplier(name -> name.contains("mlp") || name.contains("norm") ? 0.5 : 1);
    }

    /** Gradients, scale and learning rate change with the steps; the first step and a later one are skipped. */
    @ParameterizedTest
    @MethodSource("rulesAndReferences")
    void equalsItsFormula(GroupedOptimizer<?> rule, ReferenceRule reference, ReferenceRule ofOthers, double tolerance) {
        List<Parameter> parameters = parameters();
        var expected = new LinkedHashMap<String, double[]>();
        parameters.forEach(p -> expected.put(p.name(), Tensors.toDoubles(p.tensor())));
        try (var state = rule.start(parameters)) {
            for (int step = 1; step <= 8; step++) {
                boolean skip = step == 1 || step == 5;
                double learningRate = 0.02 * step;
                double gradScale = skip ? Double.NaN : 3 + step;
                Map<String, Tensor> before = copies(parameters, state);
                for (Parameter p : parameters) {
                    double[] g = random.doubles(p.numel(), -1, 1).toArray();
                    if (skip) {
                        g[0] = step == 1 ? Double.NaN : Double.POSITIVE_INFINITY;
                    }
                    gradient(p, g);
                    if (!skip) {
                        double[] scaled = Arrays.stream(
                                        Tensors.toDoubles(p.tensor().grad()))
                                .map(x -> x / gradScale)
                                .toArray();
                        boolean other = ofOthers != null && (p.name().equals("embed") || p.shape().length == 1);
                        expected.put(
                                p.name(),
                                updated(
                                        rule,
                                        other ? ofOthers : reference,
                                        p.name(),
                                        expected,
                                        scaled,
                                        step,
                                        learningRate));
                    }
                }
                state.update(step, learningRate, number(gradScale), number(skip ? 1 : 0));
                if (skip) {
                    TinyRun.assertSameBits(copies(parameters, state), before);
                }
                for (Parameter p : parameters) {
                    double[] values = expected.get(p.name());
                    Tensor want = Tensors.doubles(Device.cpu(), values, p.shape());
                    assertThat(Golden.relativeError(p.tensor(), want))
                            .as("%s after step %s", p.name(), step)
                            .isLessThan(tolerance);
                }
            }
        }
    }

    private static double[] updated(
            GroupedOptimizer<?> rule,
            ReferenceRule reference,
            String name,
            Map<String, double[]> values,
            double[] gradient,
            long step,
            double learningRate) {
        double rate = learningRate * rule.groups().multiplier().applyAsDouble(name);
        double decay = rule.groups().decays().test(name) ? rule.groups().weightDecay() : 0;
        double[] value = values.get(name);
        double[] update = reference.update(name, MATRICES.get(name), value, gradient, step, rate);
        double[] result = new double[value.length];
        Arrays.setAll(result, i -> value[i] - rate * decay * value[i] - update[i]);
        return result;
    }

    /** The bounds allow for rough products in bfloat16 and for the iteration, which does not converge to 1. */
    @Test
    void muonsUpdatesAreNearlyOrthogonal() {
        for (Dtype dtype : Dtype.values()) {
            for (long[] shape : List.of(new long[] {24, 40}, new long[] {40, 4, 6})) {
                Parameter p = parameter("blocks.0.kernel", shape);
                Muon rule = Muon.with().dtype(dtype).scale((in, out) -> 1).weightDecay(0);
                try (var state = rule.start(List.of(p))) {
                    Tensor before = p.tensor().clone();
                    gradient(p, random.doubles(p.numel(), -1, 1).toArray());
                    state.update(1, 1, number(1), number(0));
                    double[] singular = Tensors.toDoubles(
                            torch.linalg_svdvals(p.tensor().sub(before).view(shape[0], -1)));
                    assertThat(singular).as("%s", dtype).hasSize(24);
                    assertThat(Arrays.stream(singular)).allMatch(s -> s > 0.6 && s < 1.3);
                }
            }
        }
    }

    /** As NanoDO's own test: kernels alone have a tenfold update. */
    @Test
    void multipliersAsInNanodo() {
        var config = TransformerConfig.builder()
                .D(128)
                .H(16)
                .L(256)
                .N(4)
                .V(1024)
                .F(16)
                .build();
        try (var model = DecoderModel.create(config, 42);
                var scope = Scope.open();
                var state = AdamW.with()
                        .weightDecay(0)
                        .multiplier(name -> FlaxNames.of(name).contains("kernel") ? 10 : 1)
                        .start(model.parameters())) {
            for (Parameter p : model.parameters()) {
                Tensors.fill(p.tensor(), 0);
                p.tensor().mutable_grad().put(torch.ones_like(p.tensor().detach()));
            }
            state.update(1, 1, number(1), number(0));
            for (Parameter p : model.parameters()) {
                boolean kernel = !p.name().contains("embed") && !p.name().contains("norm");
                Tensor want = torch.full_like(p.tensor(), new Scalar(kernel ? -10 : -1));
                assertThat(Golden.relativeError(p.tensor(), want)).as(p.name()).isLessThan(1e-6);
            }
        }
    }

    /** NanoDO uses the same values for both rules, so that its Lion does not have the paper's b2 of 0.99. */
    @Test
    void defaultDecaysOfMomentsAreNanodos() {
        assertThat(AdamW.with()).extracting(AdamW::b1, AdamW::b2).containsExactly(0.9, 0.98);
        assertThat(Lion.with()).extracting(Lion::b1, Lion::b2).containsExactly(0.9, 0.98);
    }

    /** The decay per update at the peak is the same for any peak, as with NanoDO's independent_weight_decay. */
    @Test
    void decayOverThePeakIsIndependentOfIt() {
        for (double peak : new double[] {1e-3, 0.1}) {
            for (GroupedOptimizer<?> rule : List.of(AdamW.with(), Lion.with(), Adafactor.with(), Muon.with())) {
                Parameter p = parameter("blocks.0.kernel", 8, 8);
                Tensor before = p.tensor().clone();
                try (var state = rule.weightDecay(0.01 / peak).start(List.of(p))) {
                    gradient(p, new double[64]);
                    state.update(1, peak, number(1), number(0));
                    assertThat(Golden.relativeError(p.tensor(), before.mul(new Scalar(0.99))))
                            .as("%s", rule)
                            .isLessThan(1e-6);
                }
            }
        }
    }

    static Stream<Optimizer> rules() {
        return Stream.of(
                AdamW.with().multiplier(name -> name.contains("embed") ? 0.5 : 1),
                Lion.with().multiplier(name -> 0.1),
                Adafactor.with().minFactored(16).momentum(0.5),
                Muon.with(),
                Muon.with().dtype(Dtype.BFLOAT16).others(Lion.with().multiplier(name -> 0.1)));
    }

    /** Law 6. */
    @ParameterizedTest
    @MethodSource("rules")
    void stoppedAndResumedEqualsNeverStopped(Optimizer rule) throws Exception {
        var losses = new ArrayList<Double>();
        Map<String, Tensor> expected;
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 12)
                        .optimizer(rule)
                        .listen(metrics -> losses.add(metrics.get("train_loss")))
                        .build()) {
            trainer.run();
            expected = TinyRun.parameters(model);
        }
        assertThat(losses.get(11)).as("it learns").isLessThan(losses.get(0) - 0.5);
        for (long steps : new long[] {5, 12}) {
            try (var model = DecoderModel.create(TinyRun.config(false), steps == 5 ? 1 : 99);
                    var trainer = TinyRun.builder(model, steps)
                            .optimizer(rule)
                            .checkpoints(workdir)
                            .build()) {
                trainer.resume().run();
                if (steps == 12) {
                    TinyRun.assertSameBits(TinyRun.parameters(model), expected);
                }
            }
        }
    }

    @Test
    @Tag("slow")
    void anothersCheckpointIsRefused() throws Exception {
        List<Optimizer> rules = List.of(AdamW.with(), Lion.with(), Adafactor.with(), Muon.with());
        for (int i = 0; i < rules.size(); i++) {
            Path directory = workdir.resolve("of" + i);
            try (var model = DecoderModel.create(TinyRun.config(false), 1);
                    var trainer = TinyRun.builder(model, 1)
                            .optimizer(rules.get(i))
                            .checkpoints(directory)
                            .build()) {
                trainer.run();
            }
            for (Optimizer other : rules) {
                if (other != rules.get(i)) {
                    try (var model = DecoderModel.create(TinyRun.config(false), 1);
                            var trainer =
                                    TinyRun.builder(model, 1).optimizer(other).build()) {
                        assertThatThrownBy(() -> trainer.restoreFrom(directory))
                                .as("%s of %s", other, rules.get(i))
                                .hasMessageContaining("optimizer.safetensors: has no tensor");
                    }
                }
            }
        }
    }

    /** A factored state has one number per row and column instead of one per element. */
    @Test
    void adafactorRemembersRowsAndColumns() {
        try (var state = ADAFACTOR.start(parameters())) {
            assertThat(state.tensors()
                            .get("adafactor.row.blocks.0.attn_out")
                            .values()
                            .shape())
                    .containsExactly(6);
            assertThat(state.tensors()
                            .get("adafactor.column.blocks.0.attn_out")
                            .values()
                            .shape())
                    .containsExactly(4);
            assertThat(state.tensors()
                            .get("adafactor.v.blocks.0.norm1")
                            .values()
                            .shape())
                    .containsExactly(4);
            assertThat(state.tensors()).hasSize(9);
        }
    }

    @Test
    void rulesByElementUpdatePartsAsTheWhole() {
        for (GroupedOptimizer<?> rule : List.of(AdamW.with(), Lion.with())) {
            Parameter whole = parameter("blocks.0.mlp_in", 4, 7);
            Tensor flat = whole.tensor().clone().view(-1);
            var parts = List.of(part(whole, flat, 0, 10), part(whole, flat, 10, 18));
            double[] g = random.doubles(28, -1, 1).toArray();
            gradient(whole, g);
            gradient(parts.get(0), Arrays.copyOfRange(g, 0, 10));
            gradient(parts.get(1), Arrays.copyOfRange(g, 10, 28));
            try (var state = rule.start(List.of(whole));
                    var first = rule.start(parts.subList(0, 1));
                    var second = rule.start(parts.subList(1, 2))) {
                for (Optimizer.State each : List.of(state, first, second)) {
                    each.update(1, 0.1, number(2), number(0));
                }
                assertThat(Golden.relativeError(flat, whole.tensor().view(-1))).isLessThan(1e-6);
            }
        }
    }

    @Test
    void badSettingsAreNamed() {
        assertThatThrownBy(() -> AdamW.with().eps(0)).hasMessageContaining("eps=0.0");
        assertThatThrownBy(() -> AdamW.with().weightDecay(-1)).hasMessageContaining("weight decay is -1.0");
        assertThatThrownBy(() -> Lion.with().b2(0)).hasMessageContaining("b2=0.0");
        assertThatThrownBy(() -> Adafactor.with().clip(0)).hasMessageContaining("clip=0.0");
        assertThatThrownBy(() -> Muon.with().momentum(1)).hasMessageContaining("momentum=1.0");
        assertThatThrownBy(() -> AdamW.with().multiplier(name -> Double.NaN).start(parameters()))
                .hasMessageContaining("learning rate of embed is multiplied by NaN");
        assertThatThrownBy(() -> Muon.with().matrices((name, shape) -> false).start(parameters()))
                .hasMessageContaining("Muon has no matrix to update");
        assertThatThrownBy(() -> Muon.with().matrices((name, shape) -> true).start(parameters()))
                .hasMessageContaining("cannot update blocks.0.norm1");
    }

    /** Prints for each rule by how much 200 steps increase the live native objects and bytes. */
    static final class MemoryMain {
        public static void main(String[] args) {
            var test = new OptimizerTest();
            List<Parameter> parameters =
                    List.of(test.parameter("blocks.0.kernel", 1024, 64), test.parameter("norm", 65_536));
            parameters.forEach(p -> gradient(p, new double[65_536]));
            Tensor one = number(1);
            Tensor zero = number(0);
            rules().forEach(rule -> {
                try (var state = rule.start(parameters)) {
                    long objects = 0;
                    long bytes = 0;
                    for (int step = 1; step <= 210; step++) {
                        state.update(step, 1e-3, one, zero);
                        if (step == 10) {
                            objects = Pointer.totalCount();
                            bytes = Memory.allocatedBytes();
                        }
                    }
                    System.out.println(Pointer.totalCount() - objects + " " + (Memory.allocatedBytes() - bytes));
                }
            });
        }
    }

    /** A parameter is 256 KiB, so a leak of one per step is 50 MiB. The JVM's first compiler uses a few MiB of the same heap. */
    @Test
    @Tag("slow")
    void stepsLeaveNothingBehind() throws Exception {
        String output = TestJvm.run("-XX:TieredStopAtLevel=1", MemoryMain.class.getName());
        String[] lines = output.split("\\R");
        assertThat(lines).as(output).hasSize((int) rules().count());
        for (String line : lines) {
            String[] added = line.split(" ");
            assertThat(Long.parseLong(added[0])).as(output).isNotPositive();
            assertThat(Long.parseLong(added[1])).as(output).isLessThan(16 << 20);
        }
    }

    private List<Parameter> parameters() {
        var parameters = new ArrayList<Parameter>();
        SHAPES.forEach((name, shape) -> parameters.add(parameter(name, shape)));
        return parameters;
    }

    private Parameter parameter(String name, long... shape) {
        int numel = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
        Tensor values =
                Tensors.doubles(Device.cpu(), random.doubles(numel, -1, 1).toArray(), shape);
        return new Parameter(name, values.to(torch.ScalarType.Float));
    }

    private static Parameter part(Parameter whole, Tensor flat, long start, long length) {
        return new Parameter(whole.name(), new Slice(flat.narrow(0, start, length), whole.shape(), start));
    }

    private static void gradient(Parameter parameter, double[] values) {
        parameter
                .tensor()
                .mutable_grad()
                .put(Tensors.doubles(Device.cpu(), values, parameter.shape()).to(torch.ScalarType.Float));
    }

    private static Tensor number(double value) {
        return Tensors.floats(Device.cpu(), new float[] {(float) value});
    }

    private static Map<String, Tensor> copies(List<Parameter> parameters, Optimizer.State state) {
        var copies = new LinkedHashMap<String, Tensor>();
        parameters.forEach(p -> copies.put(p.name(), p.tensor().clone()));
        state.tensors().forEach((name, slice) -> copies.put(name, slice.values().clone()));
        return copies;
    }
}
