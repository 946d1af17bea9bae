package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.TinyRun;
import org.nanodo.data.Batch;
import org.nanodo.data.PackedDataset;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.BlockModel;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.Parameter;
import org.nanodo.model.TransformerConfig;
import org.nanodo.optim.Adafactor;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.Muon;
import org.nanodo.optim.Optimizer;
import org.nanodo.optim.Schedule;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.source.TextSource;
import org.nanodo.tokenizer.Tokenizer;
import org.nanodo.train.Engine;
import org.nanodo.train.Loss;
import org.nanodo.train.Measurements;
import org.nanodo.train.MicroBatch;
import org.nanodo.train.SeamModel;
import org.nanodo.train.StepClock;
import org.nanodo.train.Trainer;
import org.nanodo.train.TrainerBuilder;

/** Law 4: W ranks, which are processes, equal one. */
@Tag("slow")
class FsdpTest {
    private static final int L = 12;

    /** Each rank rounds its part of a sum over rows that one process rounds once. */
    private static final double BFLOAT16_TOLERANCE = 1e-2;

    private static final int B = 12;
    private static final TextSource TEXT = TextSource.of(IntStream.range(0, 60)
            .mapToObj(i -> "The number after " + i + " is " + (i + 1) + ".\n")
            .toArray(String[]::new));

    /** Its last batch is filled up with padding, so that the last ranks have little or nothing to learn from it. */
    private static final PackedDataset DATA =
            PackedDataset.of(TEXT).length(L).batch(B).epochs(1).shuffle(5);

    /** No size divides among 2, 3 or 4 ranks. */
    private static TransformerConfig uneven(Dtype dtype, boolean remat) {
        return TransformerConfig.builder()
                .D(35)
                .H(5)
                .L(L)
                .N(3)
                .V(259)
                .F(51)
                .dtype(dtype)
                .remat(remat)
                .build();
    }

    /** Of several blocks, on which some ranks have no part of a parameter, since there are more ranks than elements. */
    private static TransformerConfig tiny() {
        return TransformerConfig.builder().D(3).H(1).L(L).N(2).V(259).F(5).build();
    }

    /** Compares this rank's part of everything with the same computed whole in one process, this one. */
    static final class Parity {
        private final Collectives ranks;
        private final String kind;
        private final TransformerConfig config;
        private final Function<Fsdp.Options, Fsdp.Options> options;
        private final int microBatches;

        private Parity(
                Collectives ranks,
                TransformerConfig config,
                Function<Fsdp.Options, Fsdp.Options> options,
                int microBatches) {
            this(ranks, "nanodo", config, options, microBatches);
        }

        private Parity(
                Collectives ranks,
                String kind,
                TransformerConfig config,
                Function<Fsdp.Options, Fsdp.Options> options,
                int microBatches) {
            this.ranks = ranks;
            this.kind = kind;
            this.config = config;
            this.options = options;
            this.microBatches = microBatches;
        }

        public static void main(String[] args) throws Exception {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = meeting.collectives(Device.cpu())) {
                checkAll(ranks);
                ranks.barrier();
            }
            System.out.println("all equal");
        }

        static void checkAll(Collectives ranks) throws Exception {
            var plain = uneven(Dtype.FLOAT32, false);
            var remat = uneven(Dtype.FLOAT32, true);
            new Parity(ranks, plain, o -> o, 1).check(1e-5);
            new Parity(ranks, remat, o -> o.reduceEachBatch(false), 3).check(1e-5);
            new Parity(ranks, plain, o -> o.reshardAfterForward(false).prefetch(false), 3).check(1e-5);
            new Parity(ranks, tiny(), o -> o, 1).check(1e-5);
            for (Dtype half : List.of(Dtype.BFLOAT16, Dtype.BFLOAT16_HEAD)) {
                new Parity(ranks, uneven(half, false), o -> o, 1).gradients(BFLOAT16_TOLERANCE);
                new Parity(ranks, uneven(half, false), o -> o, 1).unrounded();
            }
            if (ranks.world() == 3) {
                checkOtherModels(ranks);
                checkOtherRules(ranks);
                checkSeam(ranks);
            }
        }

        /**
         * Of sizes that do not divide by three. Without training, where Adam makes updates of a gradient that is nothing but
         * rounding: that of a bias of keys, which softmax does not see.
         */
        private static void checkOtherModels(Collectives ranks) throws Exception {
            for (String kind : ModelFactory.names()) {
                var config = TransformerConfig.builder()
                        .D(32)
                        .H(8)
                        .L(L)
                        .N(2)
                        .V(259)
                        .F(50)
                        .build();
                var parity = new Parity(ranks, kind, config, o -> o, 1);
                parity.initialValues();
                parity.gradients(1e-5);
                config = TransformerConfig.builder()
                        .D(32)
                        .H(8)
                        .L(L)
                        .N(2)
                        .V(259)
                        .F(50)
                        .dtype(Dtype.BFLOAT16)
                        .build();
                new Parity(ranks, kind, config, o -> o, 1).gradients(BFLOAT16_TOLERANCE);
                new Parity(ranks, kind, config, o -> o, 1).unrounded();
            }
        }

        /** Shared blocks, what they leave to each other, dropout, auxiliary losses and frozen parameters. */
        private static void checkSeam(Collectives ranks) throws Exception {
            for (boolean remat : new boolean[] {false, true}) {
                try (var scope = Scope.open();
                        var single = SeamModel.create(TinyRun.config(remat), 1);
                        var sharded = SeamModel.create(TinyRun.config(remat), 1);
                        var fsdp = Fsdp.of(ranks).shard(sharded);
                        var batches = TinyRun.DATA.batch(6).iterator()) {
                    Batch batch = batches.next();
                    for (var parameters : List.of(single.parameters(), sharded.parameters(), fsdp.parameters())) {
                        parameters.forEach(p -> p.trainable(!p.name().equals("blocks.0.scale")));
                    }
                    var whole = Engine.of(single);
                    double loss = whole.lossAndGradients(micro(batch, 0)).item_double();
                    int rows = 6 / ranks.world();
                    int first = ranks.rank() * rows;
                    fsdp.begin(1);
                    Tensor mine = fsdp.lossAndGradients(micro(batch.rows(first, first + rows), first));
                    ranks.allReduce(mine).await();
                    assertThat(mine.item_double()).isCloseTo(loss, within(loss * 1e-5));
                    double norm = whole.globalNorm().item_double();
                    assertThat(fsdp.globalNorm().item_double()).isCloseTo(norm, within(norm * 1e-5));
                    var trained = fsdp.parameters().stream()
                            .filter(Parameter::isTrainable)
                            .toList();
                    assertThat(trained).hasSize(fsdp.parameters().size() - 1);
                    assertClose("gradient", trained, single, FsdpTest::gradient, FsdpTest::gradient, 1e-5);
                    fsdp.clearGradients();
                }
            }
        }

        private static MicroBatch micro(Batch batch, long firstRow) {
            return new MicroBatch(batch, firstRow, 3, Loss.crossEntropy(), new Measurements(), new StepClock());
        }

        /** Rules that need more of a matrix than a rank has. */
        private static void checkOtherRules(Collectives ranks) throws Exception {
            Adafactor adafactor = Adafactor.with()
                    .minFactored(16)
                    .weightDecay(0.1)
                    .decays(name -> !name.contains("norm"))
                    .multiplier(name -> name.contains("embed") ? 5 : 10);
            Muon muon = Muon.with().others(adafactor.factored(false).momentum(0.9));
            for (Optimizer rule : List.of(adafactor, muon)) {
                new Parity(ranks, uneven(Dtype.FLOAT32, false), o -> o, 1).training(rule, 1e-4);
                new Parity(ranks, uneven(Dtype.BFLOAT16, false), o -> o, 1).training(rule, 3e-2);
            }
            new Parity(ranks, tiny(), o -> o, 1).training(Adafactor.with().minFactored(2), 1e-4);
        }

        private void check(double tolerance) throws Exception {
            initialValues();
            gradients(tolerance);
            training(AdamW.with().decays(name -> !name.contains("norm")), 1e-4);
        }

        private LanguageModel model() {
            return ModelFactory.named(kind).create(config, 7, Device.cpu());
        }

        private Fsdp shard(LanguageModel model) {
            return options.apply(Fsdp.of(ranks)).shard(model);
        }

        private void initialValues() {
            try (var single = model();
                    var sharded = model();
                    var fsdp = shard(sharded)) {
                assertClose("initial", fsdp.parameters(), single, Parameter::tensor, Parameter::tensor, 0);
                int[] anything = {1, 2, 3};
                assertThatThrownBy(() -> sharded.logProbs(anything))
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("is not in memory: the model is sharded");
                try (var whole = fsdp.gather()) {
                    assertThat(sharded.logProbs(anything)).isEqualTo(single.logProbs(anything));
                }
            }
        }

        /**
         * What one process reads in float32 is not rounded on the way: embeddings, and scales of norms that differ from 1 by
         * less than bfloat16 can tell. The same rows then give the same bits.
         */
        private void unrounded() {
            try (var scope = Scope.open();
                    var single = model();
                    var sharded = model()) {
                scaleParameters(single, 1.003);
                scaleParameters(sharded, 1.003);
                Batch batch = batch(0);
                float[] expected = Engine.of(single).tokenLosses(batch);
                try (var fsdp = shard(sharded)) {
                    assertThat(fsdp.tokenLosses(batch)).isEqualTo(expected);
                    try (var whole = fsdp.gather()) {
                        for (int i = 0; i < single.parameters().size(); i++) {
                            Parameter parameter = single.parameters().get(i);
                            assertThat(sharded.parameters().get(i).tensor().equal(parameter.tensor()))
                                    .as(parameter.name())
                                    .isTrue();
                        }
                    }
                }
            }
        }

        private static void scaleParameters(LanguageModel model, double factor) {
            try (var scope = Scope.open();
                    var off = Grad.off()) {
                model.parameters().forEach(parameter -> parameter.tensor().mul_(new Scalar(factor)));
            }
        }

        /** Raw, before Adam hides a wrong scale; twice, since the second time must not see the first. */
        private void gradients(double tolerance) {
            try (var scope = Scope.open();
                    var single = model();
                    var sharded = model();
                    var fsdp = shard(sharded)) {
                var whole = Engine.of(single);
                for (int seed = 0; seed < 2; seed++) {
                    Batch batch = batch(seed);
                    int rows = B / ranks.world();
                    Batch mine = batch.rows(ranks.rank() * rows, (ranks.rank() + 1) * rows);
                    Fsdp.Traffic before = fsdp.traffic();
                    double loss = whole.lossAndGradients(MicroBatch.of(batch)).item_double();
                    Tensor myLoss = Tensors.floats(Device.cpu(), new float[] {0});
                    fsdp.begin(1);
                    myLoss.add_(fsdp.lossAndGradients(MicroBatch.of(mine)));
                    ranks.allReduce(myLoss).await();
                    assertThat(myLoss.item_double()).isCloseTo(loss, within(loss * tolerance));
                    assertThat(fsdp.globalNorm().item_double())
                            .isCloseTo(
                                    whole.globalNorm().item_double(),
                                    within(whole.globalNorm().item_double() * tolerance));
                    assertClose(
                            "gradient", fsdp.parameters(), single, FsdpTest::gradient, FsdpTest::gradient, tolerance);
                    checkTraffic(before, fsdp.traffic());
                    whole.clearGradients();
                    fsdp.clearGradients();
                }
            }
        }

        private void checkTraffic(Fsdp.Traffic before, Fsdp.Traffic after) {
            try (var model = model()) {
                long blocks = 0;
                for (var block : ((BlockModel) model).blocks()) {
                    blocks += padded(block.parameters());
                }
                var inRoot = new ArrayList<>(model.parameters());
                ((BlockModel) model).blocks().forEach(block -> inRoot.removeAll(block.parameters()));
                long root = padded(inRoot);
                int W = ranks.world();
                int times = options.apply(Fsdp.of(ranks)).reshardAfterForward() ? 2 : 1;
                assertThat(after.gathered() - before.gathered()).isEqualTo((times * blocks + root) / W * (W - 1));
                assertThat(after.reduced() - before.reduced()).isEqualTo((blocks + root) / W * (W - 1));
            }
        }

        private long padded(List<Parameter> parameters) {
            var lengths = parameters.stream()
                    .collect(Collectors.groupingBy(Parameter::dtype, Collectors.summingLong(Parameter::numel)));
            return lengths.values().stream()
                    .mapToLong(length -> (length + ranks.world() - 1) / ranks.world() * ranks.world())
                    .sum();
        }

        /** An epoch of some ten steps, with clipping, and what comes of it. */
        private void training(Optimizer rule, double tolerance) throws Exception {
            try (var single = model();
                    var sharded = model();
                    var fsdp = shard(sharded)) {
                List<Metrics> expected = train(single, builder -> builder.optimizer(rule));
                List<Metrics> actual =
                        train(sharded, builder -> builder.optimizer(rule).engine(fsdp));
                assertThat(expected.stream().filter(m -> m.has("train_loss"))).hasSizeGreaterThan(9);
                assertThat(expected.stream().filter(m -> m.has("grads/all/norm") && m.get("grads/all/norm") > 1))
                        .as("clipped")
                        .isNotEmpty();
                assertThat(actual).hasSameSizeAs(expected);
                for (int i = 0; i < expected.size(); i++) {
                    for (String name : List.of("train_loss", "grads/all/norm", "train_ntokens", "eval_loss_std")) {
                        if (expected.get(i).has(name)) {
                            double value = expected.get(i).get(name);
                            assertThat(actual.get(i).get(name))
                                    .as(name + " " + i)
                                    .isCloseTo(value, within(value * tolerance));
                        }
                    }
                }
                assertClose("trained", fsdp.parameters(), single, Parameter::tensor, Parameter::tensor, tolerance);
                if (config.dtype() != Dtype.FLOAT32) {
                    return; // roundings decide between tokens
                }
                try (var whole = fsdp.gather()) {
                    assertThat(sharded.generate(Tokenizer.bytes(), "The ")
                                    .maxTokens(5)
                                    .temperature(0)
                                    .text())
                            .isEqualTo(single.generate(Tokenizer.bytes(), "The ")
                                    .maxTokens(5)
                                    .temperature(0)
                                    .text());
                }
            }
        }

        private List<Metrics> train(LanguageModel model, Function<TrainerBuilder, TrainerBuilder> options)
                throws Exception {
            var metrics = new ArrayList<Metrics>();
            try (var trainer = options.apply(Trainer.of(model))
                    .data(DATA)
                    .steps(1000)
                    .accumulate(ranks.world() == 1 || microBatches == 1 ? microBatches : B / ranks.world())
                    .clip(1)
                    .schedule(Schedule.constant(1e-3))
                    .evaluate(DATA, 1000)
                    .listen(metrics::add)
                    .build()) {
                trainer.run();
            }
            return metrics;
        }
    }

    /** Rows of unequal length, so that ranks have unequal weights; one has nothing to learn. */
    private static Batch batch(int seed) {
        int[] tokens = new int[B * L];
        int[] lengths = new int[B];
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = (i * 31 + seed * 17) % 259;
        }
        for (int b = 0; b < B; b++) {
            lengths[b] = (b * 5 + seed) % (L + 1);
        }
        return Batch.of(L, tokens, lengths);
    }

    private static Tensor gradient(Parameter parameter) {
        return Tensors.gradient(parameter.tensor());
    }

    /** Each part is within max|b| · tolerance of b, the same elements of the whole. */
    private static void assertClose(
            String what,
            List<Parameter> parts,
            LanguageModel expected,
            Function<Parameter, Tensor> ofPart,
            Function<Parameter, Tensor> ofWhole,
            double tolerance) {
        var byName = new HashMap<String, Parameter>();
        expected.parameters().forEach(parameter -> byName.put(parameter.name(), parameter));
        for (Parameter parameter : parts) {
            if (parameter.numel() == 0) {
                continue; // all of it is other ranks'
            }
            try (var scope = Scope.open()) {
                Tensor part = ofPart.apply(parameter).detach();
                Tensor whole =
                        ofWhole.apply(byName.get(parameter.name())).detach().reshape(-1);
                Tensor same = whole.narrow(0, parameter.slice().start(), part.numel());
                double error = part.sub(same).abs().max().item_double();
                assertThat(error)
                        .as(what + " " + parameter.name())
                        .isLessThanOrEqualTo(whole.abs().max().item_double() * tolerance);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void ranksTogetherEqualOneProcess(int world) throws Exception {
        assertThat(RankProcesses.run(world, Parity.class))
                .allSatisfy(output -> assertThat(output).contains("all equal"));
    }

    static final class NcclParity {
        public static void main(String[] args) throws Exception {
            try (var store = NcclStandIn.store();
                    var ranks = NcclStandIn.collectives(store, Duration.ofSeconds(60))) {
                Parity.checkAll(ranks);
                ranks.barrier();
            }
            System.out.println("all equal");
        }
    }

    @Test
    void ranksTogetherEqualOneProcessThroughNccl() throws Exception {
        NcclStandIn.assumePossible();
        var environments = RankProcesses.environments(2);
        for (var environment : environments) {
            environment.putAll(NcclStandIn.environment());
            environment.put(
                    "NCCL_STAND_IN_DELAY_US", "300"); // so that a result used before its handle was awaited shows
        }
        assertThat(RankProcesses.runAll(environments, NcclParity.class))
                .allSatisfy(rank -> assertThat(rank.output()).contains("all equal"));
    }
}
