package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.Golden;
import org.nanodo.TinyRun;
import org.nanodo.data.Batch;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Json;
import org.nanodo.model.BlockModel;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.Head;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.Parameter;
import org.nanodo.model.PlainPass;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Laws of the default model that hold for every model. */
class EveryModelTest {
    private static final int[] TOKENS = {3, 17, 4, 9, 49, 0, 3, 3, 21, 22, 23, 24};

    @TempDir
    Path directory;

    private static TransformerConfig config(Dtype dtype, boolean remat) {
        return TransformerConfig.builder()
                .D(32)
                .H(8)
                .L(24)
                .N(2)
                .V(259)
                .F(64)
                .dtype(dtype)
                .remat(remat)
                .build();
    }

    private static BlockModel create(String kind) {
        return create(kind, config(Dtype.FLOAT32, false), 1);
    }

    private static BlockModel create(String kind, TransformerConfig config, long seed) {
        return (BlockModel) ModelFactory.named(kind).create(config, seed, Device.cpu());
    }

    /** Law 2: later tokens have no influence, so their embeddings have a gradient of exactly zero. */
    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void causalityIsExact(String kind) {
        try (var model = create(kind)) {
            for (int t = 0; t < TOKENS.length; t++) {
                Tensor y_1xL = Tensors.ids(Device.cpu(), TOKENS, 1, TOKENS.length);
                var pass = PlainPass.over(model, y_1xL);
                Tensor embedded_1xLxD = Tensors.leaf(model.embed(y_1xL, pass));
                Tensor x_1xLxD = embedded_1xLxD;
                for (var block : model.blocks()) {
                    x_1xLxD = block.forward(x_1xLxD, pass);
                }
                Head.of(model, x_1xLxD, pass).select(1, t).square().sum().backward();
                float[] gradient = Tensors.toFloats(embedded_1xLxD.grad().abs().sum(2));
                for (int position = 0; position < gradient.length; position++) {
                    if (position <= t) {
                        assertThat(gradient[position]).isPositive();
                    } else {
                        assertThat(gradient[position]).isZero();
                    }
                }
            }
        }
    }

    /** The order of two tokens changes the logits of a later one, which shows that positions are used. */
    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void positionsMatter(String kind) {
        try (var model = create(
                kind,
                TransformerConfig.builder().D(32).H(8).L(24).N(1).V(259).F(64).build(),
                1)) {
            assertThat(model.logProbs(5, 6, 7, 8)[2]).isNotCloseTo(model.logProbs(6, 5, 7, 8)[2], within(1e-5));
        }
    }

    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void whatIsSavedIsLoadedByWhoeverDoesNotKnowTheModel(String kind) throws Exception {
        Path saved = directory.resolve("model");
        try (var model = create(kind)) {
            model.save(saved);
            try (var loaded = LanguageModel.load(saved)) {
                assertThat(loaded).hasSameClassAs(model);
                assertThat(loaded.config()).isEqualTo(model.config());
                assertThat(loaded.logProbs(TOKENS)).isEqualTo(model.logProbs(TOKENS));
            }
        }
        assertThat(Files.readString(saved.resolve("config.json"))).contains("\"model\" : \"" + kind + "\"");
        if (!kind.equals("nanodo")) {
            assertThatThrownBy(() -> DecoderModel.load(saved))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("a model of the kind \"" + kind + "\"")
                    .hasMessageContaining("LanguageModel.load");
        }
    }

    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void badTokensAreNamed(String kind) {
        try (var model = create(kind)) {
            assertThatThrownBy(() -> model.forward(Tensors.ids(Device.cpu(), new int[] {1, 259}, 1, 2)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("259")
                    .hasMessageContaining("vocabulary");
            assertThatThrownBy(() -> model.forward(Tensors.ids(Device.cpu(), new int[25], 1, 25)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("25 tokens")
                    .hasMessageContaining("L=24");
        }
    }

    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void bfloat16ComputesInBfloat16OverFloat32Parameters(String kind) throws Exception {
        try (var batches = TinyRun.DATA.iterator();
                var model = create(kind);
                var rounded = create(kind, config(Dtype.BFLOAT16, false), 1)) {
            Batch batch = batches.next();
            double loss = lossAndGradients(model, batch).item_double();
            assertThat(lossAndGradients(rounded, batch).item_double()).isCloseTo(loss, within(loss * 1e-2));
            for (int i = 0; i < model.parameters().size(); i++) {
                Parameter parameter = rounded.parameters().get(i);
                assertThat(Tensors.type(parameter.tensor().grad())).isEqualTo(ScalarType.Float);
                assertThat(Golden.relativeError(
                                parameter.tensor().grad(),
                                model.parameters().get(i).tensor().grad()))
                        .as(parameter.name())
                        .isBetween(1e-5, 6e-2);
            }
        }
    }

    /** Law 10 in bfloat16: as in NanoDO, logits have more digits than bfloat16, unless the model is configured otherwise. */
    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void trainingEvaluationAndInferenceHaveOneBfloat16Head(String kind) throws Exception {
        for (Dtype dtype : List.of(Dtype.BFLOAT16, Dtype.BFLOAT16_HEAD)) {
            try (var scope = Scope.open();
                    var batches = TinyRun.DATA.iterator();
                    var model = create(kind, config(dtype, false), 1)) {
                Batch batch = batches.next();
                int T = batch.B() * batch.L();
                Tensor logits_TxV = model.forward(Tensors.ids(Device.cpu(), batch.inputs_BxL(), batch.B(), batch.L()))
                        .flatten(0, 1);
                boolean rounded =
                        logits_TxV.to(ScalarType.BFloat16).to(ScalarType.Float).equal(logits_TxV);
                assertThat(rounded).isEqualTo(dtype == Dtype.BFLOAT16_HEAD);
                float[] losses = new BlockWalk(model).tokenLosses(batch);
                double sum = 0;
                for (int i = 0; i < T; i++) {
                    sum += losses[i] * batch.weights_BxL()[i];
                }
                Tensor targets_T = Tensors.ids(Device.cpu(), batch.targets_BxL(), T);
                assertThat(Tensors.toFloats(Loss.tokenCrossEntropy(logits_TxV, targets_T)))
                        .isEqualTo(losses);
                assertThat(lossAndGradients(model, batch).item_double()).isCloseTo(sum, within(sum * 1e-6));
            }
        }
    }

    /** Law 3. */
    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void rematChangesNoBit(String kind) throws Exception {
        try (var batches = TinyRun.DATA.iterator();
                var plain = create(kind);
                var remat = create(kind, config(Dtype.FLOAT32, true), 1)) {
            Batch batch = batches.next();
            assertThat(lossAndGradients(remat, batch).equal(lossAndGradients(plain, batch)))
                    .isTrue();
            for (int i = 0; i < plain.parameters().size(); i++) {
                assertThat(gradient(remat, i).equal(gradient(plain, i)))
                        .as(plain.parameters().get(i).name())
                        .isTrue();
            }
        }
    }

    /** Law 5 and the engine: the summed gradients of k micro-batches equal autograd over one graph of the whole model. */
    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void microBatchesEqualAutogradOfOneBatch(String kind) throws Exception {
        try (var batches = TinyRun.DATA.iterator();
                var parts = create(kind);
                var whole = create(kind)) {
            Batch batch = batches.next();
            for (int row = 0; row < batch.B(); row += 2) {
                lossAndGradients(parts, batch.rows(row, row + 2));
            }
            int T = batch.B() * batch.L();
            Tensor logits_TxV = whole.forward(Tensors.ids(Device.cpu(), batch.inputs_BxL(), batch.B(), batch.L()))
                    .flatten(0, 1);
            Loss.crossEntropy()
                    .sum(Loss.Chunk.of(
                            logits_TxV,
                            Tensors.ids(Device.cpu(), batch.targets_BxL(), T),
                            Tensors.floats(Device.cpu(), batch.weights_BxL(), T)))
                    .backward();
            for (int i = 0; i < whole.parameters().size(); i++) {
                assertThat(Golden.relativeError(gradient(parts, i), gradient(whole, i)))
                        .as(whole.parameters().get(i).name())
                        .isLessThan(1e-5);
            }
        }
    }

    /** Law 6. */
    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void stoppedAndResumedEqualsNeverStopped(String kind) throws Exception {
        UnaryOperator<TrainerBuilder> options = trainer -> trainer.clip(1).accumulate(2);
        Map<String, Tensor> expected;
        try (var model = create(kind);
                var trainer = options.apply(TinyRun.builder(model, 8)).build()) {
            trainer.run();
            expected = TinyRun.parameters(model);
        }
        for (long steps : new long[] {5, 8}) {
            try (var model = create(kind, config(Dtype.FLOAT32, false), steps == 5 ? 1 : 99);
                    var trainer = options.apply(TinyRun.builder(model, steps))
                            .checkpoints(directory)
                            .build()) {
                trainer.resume().run();
                assertThat(trainer.step()).isEqualTo(steps);
                if (steps == 8) {
                    TinyRun.assertSameBits(TinyRun.parameters(model), expected);
                }
            }
        }
        for (String other : ModelFactory.names()) {
            if (!other.equals(kind)) {
                try (var model = create(other);
                        var trainer = options.apply(TinyRun.builder(model, 9))
                                .checkpoints(directory)
                                .build()) {
                    assertThatThrownBy(trainer::resume)
                            .hasMessageContaining("holds a model of another config: {\"model\":\"" + kind)
                            .hasMessageContaining("this one is {\"model\":\"" + other);
                }
            }
        }
    }

    /** Law 7, over a few steps. */
    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void learnsInTheSameMemory(String kind) throws Exception {
        var losses = new ArrayList<Double>();
        var alive = new ArrayList<Long>();
        try (var model = create(kind);
                var trainer = TinyRun.builder(model, 120)
                        .listen(metrics -> {
                            losses.add(metrics.get("train_loss"));
                            alive.add(Memory.allocatedBytes());
                        })
                        .build()) {
            trainer.run();
        }
        assertThat(losses.get(0)).isCloseTo(Math.log(259), within(1.0));
        assertThat(losses.get(119)).isLessThan(1);
        // A step's tensors are some mebibytes; the JVM's own allocations are counted, too.
        assertThat(alive.get(119) - alive.get(19)).isLessThan(8 << 20);
    }

    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void parametersDependOnSeedAndNameAlone(String kind) {
        try (var model = create(kind);
                var deeper = create(
                        kind,
                        TransformerConfig.builder()
                                .D(32)
                                .H(8)
                                .L(24)
                                .N(2)
                                .V(259)
                                .F(64)
                                .remat(true)
                                .build(),
                        1);
                var other = create(kind, config(Dtype.FLOAT32, false), 2)) {
            Map<String, Tensor> last = TinyRun.parameters(other);
            Map<String, Tensor> same = TinyRun.parameters(deeper); // asked for in another order
            for (int i = model.parameters().size() - 1; i >= 0; i--) {
                Parameter parameter = model.parameters().get(i);
                assertThat(same.get(parameter.name()).equal(parameter.tensor())).isTrue();
                boolean random = parameter.tensor().std().item_double() > 0;
                assertThat(last.get(parameter.name()).equal(parameter.tensor())).isNotEqualTo(random);
            }
        }
    }

    @Test
    void aFolderThatNamesNoModelIsOfTheDefaultModel() throws Exception {
        Path saved = directory.resolve("model");
        try (var model = create("nanodo")) {
            model.save(saved);
            Files.delete(saved.resolve("manifest.json"));
            Files.writeString(saved.resolve("config.json"), Json.write(model.config()));
            try (var loaded = LanguageModel.load(saved)) {
                assertThat(loaded).isInstanceOf(DecoderModel.class);
                assertThat(loaded.logProbs(TOKENS)).isEqualTo(model.logProbs(TOKENS));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"bert\"", "3"})
    void anUnknownModelIsToldWhichThereAre(String name) throws Exception {
        Path saved = directory.resolve("model");
        try (var model = create("nanodo")) {
            model.save(saved);
        }
        Files.delete(saved.resolve("manifest.json"));
        Path config = saved.resolve("config.json");
        Files.writeString(config, Files.readString(config).replace("\"nanodo\"", name));
        assertThatThrownBy(() -> LanguageModel.load(saved))
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining("config.json")
                .hasMessageContaining("There is no model \"" + name.replace("\"", "") + "\"")
                .hasMessageContaining(String.join(", ", ModelFactory.names()));
        assertThatThrownBy(() -> ModelFactory.named("bert")).isInstanceOf(IllegalArgumentException.class);
    }

    private static Tensor lossAndGradients(LanguageModel model, Batch batch) {
        try (var scope = Scope.open()) {
            return scope.export(Engine.of(model).lossAndGradients(MicroBatch.of(batch)));
        }
    }

    private static Tensor gradient(LanguageModel model, int parameter) {
        return model.parameters().get(parameter).tensor().grad();
    }
}
