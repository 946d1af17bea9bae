package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.nanodo.TinyRun.DATA;
import static org.nanodo.TinyRun.assertSameBits;
import static org.nanodo.TinyRun.builder;
import static org.nanodo.TinyRun.config;
import static org.nanodo.TinyRun.parameters;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.Golden;
import org.nanodo.TinyRun;
import org.nanodo.checkpoint.Slice;
import org.nanodo.data.Batch;
import org.nanodo.data.PackedDataset;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.Optimizer;
import org.nanodo.optim.Schedule;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;
import org.nanodo.source.TextSource;
import org.nanodo.tokenizer.Tokenizer;

class TrainerTest {
    @TempDir
    Path workdir;

    /** Stops a run at a step or the one before it, since a step's metrics come one step late unless a checkpoint needs them. */
    private static final class Stopper implements Consumer<Metrics> {
        private final long step;
        private Trainer trainer;

        Stopper(long step) {
            this.step = step;
        }

        @Override
        public void accept(Metrics metrics) {
            if (metrics.step() == step - 1) {
                trainer.stop();
            }
        }
    }

    /** A tokenizer that the library does not know. */
    private static class OwnTokenizer implements Tokenizer {
        private final Tokenizer bytes = Tokenizer.bytes();

        @Override
        public int[] encode(String text) {
            return bytes.encode(text);
        }

        @Override
        public String decode(int... ids) {
            return bytes.decode(ids);
        }

        @Override
        public int vocabSize() {
            return bytes.vocabSize();
        }

        @Override
        public Map<String, String> spec() {
            return Map.of("kind", "own");
        }
    }

    @Test
    void learns() throws Exception {
        var metrics = new ArrayList<Metrics>();
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = Trainer.of(model)
                        .data(DATA)
                        .steps(150)
                        .schedule(Schedule.constant(1e-2))
                        .evaluate(DATA, 50)
                        .listen(metrics::add)
                        .build()) {
            trainer.run();
            assertThat(trainer.step()).isEqualTo(150);
        }
        var losses = metrics.stream().filter(m -> m.has("train_loss")).toList();
        assertThat(losses.stream().map(Metrics::step))
                .containsExactlyElementsOf(
                        IntStream.rangeClosed(1, 150).mapToObj(Long::valueOf).toList());
        assertThat(losses.get(0).get("train_loss")).isCloseTo(Math.log(259), within(1.0));
        assertThat(losses.get(149).get("train_loss")).isLessThan(1);
        var evaluations = metrics.stream().filter(m -> m.has("eval_loss")).toList();
        assertThat(evaluations.stream().map(Metrics::step)).containsExactly(0L, 50L, 100L, 150L);
        assertThat(evaluations.get(3).get("eval_loss")).isLessThan(1);
    }

    /** Law 3. */
    @Test
    void rematChangesNoBit() throws Exception {
        try (var batches = DATA.iterator();
                var plain = DecoderModel.create(config(false), 1);
                var remat = DecoderModel.create(config(true), 1)) {
            Batch batch = batches.next();
            Tensor loss = new BlockWalk(plain).lossAndGradients(MicroBatch.of(batch));
            Tensor rematLoss = new BlockWalk(remat).lossAndGradients(MicroBatch.of(batch));
            assertThat(rematLoss.equal(loss)).isTrue();
            for (int i = 0; i < plain.parameters().size(); i++) {
                assertThat(remat.parameters()
                                .get(i)
                                .tensor()
                                .grad()
                                .equal(plain.parameters().get(i).tensor().grad()))
                        .as(plain.parameters().get(i).name())
                        .isTrue();
            }
        }
    }

    /** The walk block by block with a chunked loss equals autograd over the model as one graph. */
    @ParameterizedTest
    @ValueSource(ints = {7, 50, 1000})
    void theEngineEqualsPlainAutograd(int chunk) throws Exception {
        try (var batches = DATA.iterator();
                var walked = DecoderModel.create(config(false), 1);
                var whole = DecoderModel.create(config(false), 1)) {
            Batch batch = batches.next();
            var engine = new BlockWalk(walked, Residency.ALWAYS, chunk);
            Tensor loss = engine.lossAndGradients(MicroBatch.of(batch));
            Tensor logits_TxV = whole.forward(ids(batch.inputs_BxL(), batch)).flatten(0, 1);
            Tensor expected = Loss.crossEntropy()
                    .sum(Loss.Chunk.of(
                            logits_TxV,
                            ids(batch.targets_BxL(), batch).flatten(),
                            Tensors.floats(Device.cpu(), batch.weights_BxL(), batch.weights_BxL().length)));
            expected.backward();
            assertThat(loss.item_double()).isCloseTo(expected.item_double(), within(1e-3));
            double sum = 0;
            float[] tokenLosses = engine.tokenLosses(batch);
            for (int i = 0; i < tokenLosses.length; i++) {
                sum += tokenLosses[i] * batch.weights_BxL()[i];
            }
            assertThat(sum).isCloseTo(expected.item_double(), within(1e-3));
            TinyRun.assertSameGradients(walked, whole);
        }
    }

    /** Law 5. */
    @ParameterizedTest
    @ValueSource(ints = {2, 4, 8})
    void microBatchesEqualOneBatch(int k) throws Exception {
        Map<String, Tensor> whole = train(config(false), 5, trainer -> trainer.clip(0.5));
        Map<String, Tensor> parts =
                train(config(false), 5, trainer -> trainer.clip(0.5).accumulate(k));
        whole.forEach((name, tensor) -> assertThat(Golden.relativeError(parts.get(name), tensor))
                .as(name)
                .isLessThan(1e-4));
    }

    @Test
    void theSameSeedGivesTheSameBits() throws Exception {
        Map<String, Tensor> once = train(config(false), 10, trainer -> trainer);
        assertSameBits(train(config(false), 10, trainer -> trainer), once);
    }

    /** Law 6, stopped at every step: in the middle of an epoch, at checkpoints and between them. */
    @Test
    void stoppedAndResumedEqualsNeverStopped() throws Exception {
        UnaryOperator<TrainerBuilder> options = trainer -> trainer.clip(1)
                .accumulate(2)
                .evaluate(DATA, 4)
                .schedule(Schedule.warmupCosine(1e-3, 1e-2, 1e-3, 3, 12));
        var expectedLosses = new ArrayList<String>();
        Map<String, Tensor> expected =
                train(config(false), 12, trainer -> options.apply(trainer).listen(m -> expectedLosses.add(line(m))));
        for (int stop = 2; stop < 12; stop++) {
            Path directory = workdir.resolve("stop" + stop);
            var losses = new ArrayList<String>();
            var stopper = new Stopper(stop);
            try (var model = DecoderModel.create(config(false), 1);
                    var trainer = options.apply(builder(model, 12))
                            .checkpoints(directory, 3, 2)
                            .listen(m -> losses.add(line(m)))
                            .listen(stopper)
                            .build()) {
                stopper.trainer = trainer;
                trainer.run();
                assertThat(trainer.step()).isBetween(stop - 1L, (long) stop);
            }
            try (var model = DecoderModel.create(config(false), 99);
                    var trainer = options.apply(builder(model, 12))
                            .checkpoints(directory, 3, 2)
                            .listen(m -> losses.add(line(m)))
                            .build()) {
                trainer.resume().run();
                assertThat(trainer.step()).isEqualTo(12);
                assertSameBits(parameters(model), expected);
            }
            assertThat(losses).isEqualTo(expectedLosses);
        }
    }

    /** A loss draws the same random numbers in two runs of one seed and in a resumed run, whatever the process drew before. */
    @Test
    void aLossThatDrawsIsSeededByTheRunAndResumes() throws Exception {
        Loss noisy = chunk -> chunk.sum(chunk.crossEntropy_C().mul(torch.rand_like(chunk.weights_C())));
        UnaryOperator<TrainerBuilder> options =
                trainer -> trainer.loss(noisy).accumulate(2).checkpoints(workdir.resolve("a"), 3, 1);
        torch.manual_seed(1);
        Map<String, Tensor> expected = train(config(false), 6, options);
        torch.manual_seed(2);
        train(config(false), 3, trainer -> options.apply(trainer).checkpoints(workdir.resolve("b")));
        torch.manual_seed(3);
        try (var model = DecoderModel.create(config(false), 9);
                var trainer = options.apply(builder(model, 6))
                        .checkpoints(workdir.resolve("b"))
                        .build()) {
            trainer.resume().run();
            assertSameBits(parameters(model), expected);
        }
        for (String file : List.of("model", "optimizer")) { // a state of random numbers would differ
            Path name = Path.of("step_00000006", file + ".safetensors");
            assertThat(workdir.resolve("b").resolve(name))
                    .hasSameBinaryContentAs(workdir.resolve("a").resolve(name));
        }
    }

    @Test
    void eachStepAndMicroBatchDrawsItsOwnNumbers() throws Exception {
        var drawn = new ArrayList<Double>();
        Loss drawing = chunk -> {
            drawn.add(torch.rand(1).item_double());
            return Loss.crossEntropy().sum(chunk);
        };
        train(config(false), 3, trainer -> trainer.loss(drawing).accumulate(4));
        assertThat(drawn).hasSize(12).doesNotHaveDuplicates();
        train(config(false), 1, trainer -> trainer.data(DATA.shuffle(6)).loss(drawing));
        assertThat(drawn).doesNotHaveDuplicates();
    }

    @Test
    void aTokenizerOfOnesOwnResumesToo() throws Exception {
        Tokenizer own = new OwnTokenizer();
        train(config(false), 2, trainer -> trainer.data(DATA.tokenizer(own)).checkpoints(workdir));
        try (var model = DecoderModel.create(config(false), 9);
                var trainer = builder(model, 4)
                        .data(DATA.tokenizer(own))
                        .checkpoints(workdir)
                        .build()) {
            trainer.resume().run();
            assertThat(trainer.step()).isEqualTo(4);
        }
        try (var model = DecoderModel.create(config(false), 9);
                var trainer = builder(model, 4).checkpoints(workdir).build()) {
            assertThatThrownBy(trainer::resume).hasMessageContaining("another tokenizer");
        }
    }

    @Test
    void anotherTextIsNamed() throws Exception {
        train(config(false), 2, trainer -> trainer.checkpoints(workdir));
        String[] others =
                IntStream.range(0, 60).mapToObj(i -> "other text " + i).toArray(String[]::new);
        try (var model = DecoderModel.create(config(false), 9);
                var trainer = builder(model, 4)
                        .data(PackedDataset.of(TextSource.of(others))
                                .length(24)
                                .batch(8)
                                .shuffle(5))
                        .checkpoints(workdir)
                        .build()) {
            assertThatThrownBy(trainer::resume)
                    .hasMessageContaining("other data")
                    .hasMessageContaining("the corpus was");
        }
    }

    @Test
    void anExceptionFromAListenerLeavesARunThatOnlyACheckpointHelps() throws Exception {
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 6)
                        .checkpoints(workdir, 2, 5)
                        .listen(metrics -> {
                            if (metrics.step() == 3) {
                                throw new IllegalStateException("listener");
                            }
                        })
                        .build()) {
            assertThatThrownBy(trainer::run).hasMessage("listener");
            assertThatThrownBy(trainer::run).hasMessageContaining("has failed").hasMessageContaining("resume()");
            assertThat(trainer.resume().step()).isEqualTo(2);
        }
    }

    @Test
    void aLearningRateThatIsNotFiniteIsNamed() throws Exception {
        try (var model = DecoderModel.create(config(false), 1);
                var trainer =
                        builder(model, 6).schedule(step -> 1 / Math.sqrt(step)).build()) {
            Map<String, Tensor> before = parameters(model);
            assertThatThrownBy(trainer::run).hasMessageContaining("learning rate of Infinity at step 0");
            assertSameBits(parameters(model), before);
        }
    }

    @Test
    void aShortValidationTextIsPadded() throws Exception {
        PackedDataset validation =
                PackedDataset.of(TextSource.of("five")).length(24).batch(8);
        var evaluations = new ArrayList<Metrics>();
        train(config(false), 2, trainer -> trainer.evaluate(validation, 2).listen(m -> {
            if (m.has("eval_loss")) {
                evaluations.add(m);
            }
        }));
        assertThat(evaluations.stream().map(Metrics::step)).containsExactly(0L, 2L);
        assertThat(evaluations.get(0).get("eval_loss")).isPositive();
    }

    @Test
    void aCheckpointHoldsTheModelTheTokenizerAndTheRest() throws Exception {
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 4).checkpoints(workdir, 2, 1).build()) {
            trainer.run();
            Path checkpoint = workdir.resolve("step_00000004");
            assertThat(workdir.toFile().list()).containsExactlyInAnyOrder("step_00000004", "lock");
            assertThat(checkpoint.toFile().list())
                    .containsExactlyInAnyOrder(
                            "config.json",
                            "manifest.json",
                            "model.safetensors",
                            "optimizer.safetensors",
                            "run.json",
                            "tokenizer.json");
            try (var loaded = DecoderModel.load(checkpoint)) {
                assertSameBits(parameters(loaded), parameters(model));
            }
        }
    }

    @Test
    void fineTuningStartsFromLoadedWeights() throws Exception {
        Path saved = workdir.resolve("saved");
        try (var model = DecoderModel.create(config(false), 1)) {
            model.save(saved);
        }
        Map<String, Tensor> expected = train(config(false), 5, trainer -> trainer);
        try (var model = DecoderModel.load(saved);
                var trainer = builder(model, 5).build()) {
            trainer.run();
            assertSameBits(parameters(model), expected);
        }
    }

    @Test
    void finiteDataEndsTheRun() throws Exception {
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 1_000_000).data(DATA.epochs(1)).build()) {
            trainer.run();
            assertThat(trainer.step()).isBetween(5L, 20L);
        }
    }

    @Test
    void clippingBoundsTheUpdateNorm() throws Exception {
        var norms = new ArrayList<Double>();
        double clip = 0.25;
        Optimizer plainDescent = (parameters, ranks) -> new Optimizer.State() {
            @Override
            public void update(long step, double learningRate, Tensor gradScale, Tensor skip) {
                double squares = 0;
                for (var p : parameters) {
                    squares += p.tensor().grad().div(gradScale).square().sum().item_double();
                }
                norms.add(Math.sqrt(squares));
            }

            @Override
            public Map<String, Slice> tensors() {
                return Map.of();
            }

            @Override
            public void close() {}
        };
        var reported = new ArrayList<Double>();
        for (double bound : new double[] {clip, 1e9}) {
            try (var model = DecoderModel.create(config(false), 1);
                    var trainer = builder(model, 1)
                            .optimizer(plainDescent)
                            .clip(bound)
                            .listen(m -> reported.add(m.get("grads/all/norm")))
                            .build()) {
                trainer.run();
            }
        }
        assertThat(reported.get(0)).isGreaterThan(clip);
        assertThat(norms.get(0)).isCloseTo(clip, within(1e-5));
        assertThat(norms.get(1)).isCloseTo(reported.get(1), within(1e-4));
    }

    @Test
    void onlyTheParametersNamedDecay() throws Exception {
        Loss nothing = chunk -> chunk.logits_CxV().sum().mul(new Scalar(0));
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 1)
                        .loss(nothing)
                        .optimizer(AdamW.with().weightDecay(0.5).decays(name -> !name.contains("norm")))
                        .build()) {
            Map<String, Tensor> before = parameters(model);
            trainer.run();
            parameters(model).forEach((name, tensor) -> {
                double factor = name.contains("norm") ? 1 : 1 - 1e-2 * 0.5;
                assertThat(Golden.relativeError(tensor, before.get(name).mul(new Scalar(factor))))
                        .as(name)
                        .isLessThan(1e-6);
            });
        }
    }

    /** Neither the step that fails nor the one already started changes anything or reaches a checkpoint. */
    @Test
    void whatIsNotFiniteReachesNeitherParametersNorCheckpoints() throws Exception {
        int[] calls = {0};
        Loss breaking = chunk -> Loss.crossEntropy().sum(chunk).mul(new Scalar(++calls[0] == 4 ? Double.NaN : 1));
        Map<String, Tensor> expected = train(config(false), 3, trainer -> trainer);
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 20)
                        .loss(breaking)
                        .checkpoints(workdir, 2, 10)
                        .build()) {
            assertThatThrownBy(trainer::run)
                    .isInstanceOf(DivergedException.class)
                    .hasMessageContaining("Step 4 was not applied: loss NaN");
            assertSameBits(parameters(model), expected);
            assertThat(trainer.step()).isEqualTo(3);
            assertThatThrownBy(trainer::run).hasMessageContaining("has failed");
            assertThat(workdir.toFile().list()).containsExactlyInAnyOrder("step_00000002", "lock");

            trainer.resume().run();
            assertThat(trainer.step()).isEqualTo(20);
            assertSameBits(parameters(model), train(config(false), 20, options -> options));
        }
    }

    @Test
    void checkpointsOfAnEarlierRunAreNotMixedUp() throws Exception {
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 2).checkpoints(workdir).build()) {
            trainer.run();
        }
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 2).checkpoints(workdir).build()) {
            assertThatThrownBy(trainer::run).hasMessageContaining("call resume()");
        }
        var other =
                TransformerConfig.builder().D(32).H(2).L(24).N(2).V(259).F(64).build();
        try (var model = DecoderModel.create(other, 1);
                var trainer = builder(model, 2).checkpoints(workdir).build()) {
            assertThatThrownBy(trainer::resume)
                    .hasMessageContaining(
                            "step_00000002 holds a model of another config: {\"model\":\"nanodo\",\"D\":32,\"H\":4")
                    .hasMessageContaining("this one is {\"model\":\"nanodo\",\"D\":32,\"H\":2");
        }
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 2)
                        .data(DATA.length(20))
                        .checkpoints(workdir)
                        .build()) {
            assertThatThrownBy(trainer::resume)
                    .hasMessageContaining("other data")
                    .hasMessageContaining("tokens per row was 24, is 20.");
        }
    }

    @Test
    void badSettingsAreNamed() {
        try (var model = DecoderModel.create(config(false), 1)) {
            assertThatThrownBy(() -> Trainer.of(model).steps(1).build()).hasMessageContaining("No training data");
            assertThatThrownBy(() -> Trainer.of(model).data(DATA).build()).hasMessageContaining("steps is 0");
            assertThatThrownBy(() -> builder(model, 1).data(DATA.length(25)).build())
                    .hasMessageContaining("Rows of 25 tokens are longer than the L=24");
            assertThatThrownBy(
                            () -> builder(model, 1).evaluate(DATA.length(25), 1).build())
                    .hasMessageContaining("Rows of 25 tokens");
            assertThatThrownBy(() -> builder(model, 1)
                            .evaluate(DATA.tokenizer(Tokenizer.characters("abc")), 1)
                            .build())
                    .hasMessageContaining("validation data has another tokenizer");
            assertThatThrownBy(() -> builder(model, 1).accumulate(3).build())
                    .hasMessageContaining("8 rows does not divide into 3");
            assertThatThrownBy(() ->
                            builder(model, 1).checkpoints(workdir).keepEvery(0).build())
                    .hasMessageContaining("every 0 steps");
            assertThatThrownBy(() -> builder(model, 1).clip(0).build()).hasMessageContaining("clip is 0");
            assertThatThrownBy(() -> builder(model, 1)
                            .data(DATA.tokenizer(Tokenizer.gpt2()))
                            .build())
                    .hasMessageContaining("50257 ids");
            assertThatThrownBy(() -> AdamW.with().b2(1)).hasMessageContaining("b2=1");
        }
    }

    @Test
    void anIdOutsideTheVocabularyIsNamed() throws Exception {
        Tokenizer lying = new OwnTokenizer() {
            @Override
            public int[] encode(String text) {
                return new int[] {5, 300, 6};
            }
        };
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 1).data(DATA.tokenizer(lying)).build()) {
            assertThatThrownBy(trainer::run)
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("Token id 300 is not in the vocabulary of V=259");
        }
    }

    private static Map<String, Tensor> train(
            TransformerConfig config, long steps, UnaryOperator<TrainerBuilder> options) throws Exception {
        try (var model = DecoderModel.create(config, 1);
                var trainer = options.apply(builder(model, steps)).build()) {
            trainer.run();
            return parameters(model);
        }
    }

    private static String line(Metrics metrics) {
        return metrics.step() + " " + metrics.values().get("train_loss")
                + metrics.values().get("eval_loss");
    }

    private static Tensor ids(int[] ids, Batch batch) {
        return Tensors.ids(Device.cpu(), ids, batch.B(), batch.L());
    }
}
