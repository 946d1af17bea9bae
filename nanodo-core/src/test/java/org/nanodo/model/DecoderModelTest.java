package org.nanodo.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Json;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Tensors;

class DecoderModelTest {
    private static final TransformerConfig CONFIG =
            TransformerConfig.builder().D(32).H(4).L(12).N(2).V(50).F(64).build();
    private static final int[] TOKENS = {3, 17, 4, 9, 49, 0, 3, 3, 21, 22, 23, 24};

    @TempDir
    Path directory;

    private final DecoderModel model = DecoderModel.create(CONFIG, 1);

    @AfterEach
    void close() {
        model.close();
    }

    /** Law 2, NanoDO's way: what comes later has no influence at all, so its positions get a gradient of exactly zero. */
    @Test
    void causalityIsExact() {
        for (int t = 0; t < CONFIG.L(); t++) {
            Tensor positions_LxD = parameter(model, "pos_embed");
            positions_LxD.mutable_grad().reset();
            model.forward(ids(TOKENS)).select(1, t).square().sum().backward();
            float[] gradient = Tensors.toFloats(positions_LxD.grad().abs().sum(1));
            for (int position = 0; position < gradient.length; position++) {
                if (position <= t) {
                    assertThat(gradient[position]).as("%s sees %s", t, position).isPositive();
                } else {
                    assertThat(gradient[position]).as("%s sees %s", t, position).isZero();
                }
            }
        }
    }

    @Test
    void parametersHaveStableNamesAndShapes() {
        assertThat(model.parameters().stream()
                        .map(p -> p.name() + Arrays.toString(p.tensor().shape())))
                .startsWith(
                        "embed[50, 32]",
                        "pos_embed[12, 32]",
                        "blocks.0.norm1[32]",
                        "blocks.0.query[32, 4, 8]",
                        "blocks.0.key[32, 4, 8]",
                        "blocks.0.value[32, 4, 8]",
                        "blocks.0.attn_out[4, 8, 32]",
                        "blocks.0.norm2[32]",
                        "blocks.0.mlp_in[32, 64]",
                        "blocks.0.mlp_out[64, 32]",
                        "blocks.1.norm1[32]")
                .endsWith("blocks.1.mlp_out[64, 32]", "out_norm[32]")
                .hasSize(3 + 2 * 8);
        assertThat(model.parameterCount()).isEqualTo(50 * 32 + 12 * 32 + 32 + 2 * (2 * 32 + 4 * 32 * 32 + 2 * 32 * 64));
    }

    @Test
    void initialisationIsNanoDOsAndDependsOnSeedAndNameAlone() {
        TransformerConfig wide = TransformerConfig.builder()
                .D(256)
                .H(4)
                .L(128)
                .N(1)
                .V(500)
                .F(1024)
                .build();
        try (var large = DecoderModel.create(wide, 1);
                var deeper = DecoderModel.create(
                        TransformerConfig.builder()
                                .D(256)
                                .H(4)
                                .L(64)
                                .N(2)
                                .V(500)
                                .F(1024)
                                .build(),
                        1);
                var other = DecoderModel.create(wide, 2)) {
            Tensor embed = parameter(large, "embed");
            assertThat(embed.std().item_double()).isCloseTo(1 / Math.sqrt(256), within(1e-3));
            double bound = Math.sqrt(6.0 / (256 + 1024));
            Tensor kernel = parameter(large, "blocks.0.mlp_in");
            assertThat(kernel.max().item_double())
                    .isCloseTo(bound, within(1e-4))
                    .isLessThanOrEqualTo(bound);
            assertThat(kernel.min().item_double()).isCloseTo(-bound, within(1e-4));
            assertThat(kernel.std().item_double()).isCloseTo(bound / Math.sqrt(3), within(1e-3));
            assertThat(parameter(large, "out_norm")
                            .eq(new org.bytedeco.pytorch.Scalar(1))
                            .all()
                            .item_bool())
                    .isTrue();
            assertThat(embed.equal(parameter(deeper, "embed"))).isTrue();
            assertThat(kernel.equal(parameter(deeper, "blocks.0.mlp_in"))).isTrue();
            assertThat(parameter(deeper, "blocks.1.mlp_in").equal(kernel)).isFalse();
            assertThat(embed.equal(parameter(other, "embed"))).isFalse();
        }
    }

    @Test
    void logProbsAreThoseOfForward() {
        try (var off = Grad.off()) {
            float[] logp = Tensors.toFloats(torch.log_softmax(model.forward(ids(TOKENS)), -1));
            double[] logProbs = model.logProbs(TOKENS);
            assertThat(logProbs).hasSize(TOKENS.length - 1);
            for (int i = 0; i < logProbs.length; i++) {
                assertThat(logProbs[i]).isEqualTo(logp[i * CONFIG.V() + TOKENS[i + 1]]);
            }
        }
    }

    @Test
    void savesAndLoads() throws Exception {
        Path saved = directory.resolve("model");
        model.save(saved);
        try (var loaded = DecoderModel.load(saved)) {
            assertThat(loaded.config()).isEqualTo(CONFIG);
            assertThat(loaded.logProbs(TOKENS)).isEqualTo(model.logProbs(TOKENS));
        }
        assertThatThrownBy(() -> model.save(saved)).hasMessageContaining("exists");
    }

    @Test
    void passesOverNanodosNames() throws Exception {
        Path file = directory.resolve("flax.safetensors");
        FlaxNames.save(model, file, "params.");
        try (var loaded = FlaxNames.load(file, "params.", Device.cpu());
                var theirs = Safetensors.open(file)) {
            assertThat(loaded.config()).isEqualTo(CONFIG);
            assertThat(loaded.logProbs(TOKENS)).isEqualTo(model.logProbs(TOKENS));
            assertThat(theirs.names()).contains("params.embed.embedding", "params.blocks_1.CausalAttn_0.query.kernel");
        }
        assertThatThrownBy(() -> FlaxNames.save(model, file, "")).hasMessageContaining("exists");
    }

    @Test
    void filesThatCannotBeAModelAreNamed() throws Exception {
        Path saved = directory.resolve("model");
        assertThatThrownBy(() -> DecoderModel.load(saved)).hasMessageContaining("model does not exist");
        assertThatThrownBy(() -> DecoderModel.load(directory)).hasMessageContaining("not a saved model");
        model.save(saved);
        byte[] whole = Files.readAllBytes(saved.resolve("model.safetensors"));
        Files.write(saved.resolve("model.safetensors"), Arrays.copyOf(whole, whole.length - 100));
        assertThatThrownBy(() -> DecoderModel.load(saved))
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining("model.safetensors")
                .hasMessageContaining("truncated");
        Files.write(saved.resolve("model.safetensors"), whole);
        Files.writeString(saved.resolve("config.json"), Json.write(CONFIG).replace("50", "60"));
        assertThatThrownBy(() -> DecoderModel.load(saved))
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining("config.json");
        Files.delete(saved.resolve("manifest.json"));
        assertThatThrownBy(() -> DecoderModel.load(saved))
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining("\"embed\" is [50, 32], the config requires [60, 32]");
        Files.writeString(saved.resolve("config.json"), "{");
        assertThatThrownBy(() -> DecoderModel.load(saved))
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining("config.json");
    }

    @Test
    void badTokensAreNamed() {
        List<Consumer<int[]>> uses = List.of(model::logProbs, tokens -> model.forward(ids(tokens)));
        for (Consumer<int[]> use : uses) {
            assertThatThrownBy(() -> use.accept(new int[] {1, 50, 2}))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("50")
                    .hasMessageContaining("vocabulary");
            assertThatThrownBy(() -> use.accept(new int[13]))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("13 tokens")
                    .hasMessageContaining("L=12");
        }
        assertThatThrownBy(() -> model.logProbs(1)).hasMessageContaining("at least two");
    }

    @Test
    void bfloat16ComputesInBfloat16OverFloat32Parameters() {
        TransformerConfig half = TransformerConfig.builder()
                .D(32)
                .H(4)
                .L(12)
                .N(2)
                .V(50)
                .F(64)
                .dtype(Dtype.BFLOAT16)
                .build();
        try (var lowPrecision = DecoderModel.create(half, 1)) {
            Tensor logits = model.forward(ids(TOKENS));
            Tensor rounded = lowPrecision.forward(ids(TOKENS));
            assertThat(Tensors.type(rounded)).isEqualTo(torch.ScalarType.Float);
            double error = rounded.sub(logits).abs().max().item_double()
                    / logits.abs().max().item_double();
            assertThat(error).isBetween(1e-4, 3e-2);
            rounded.sum().backward();
            for (Parameter parameter : lowPrecision.parameters()) {
                assertThat(Tensors.type(parameter.tensor())).isEqualTo(torch.ScalarType.Float);
                assertThat(Tensors.type(parameter.tensor().grad())).isEqualTo(torch.ScalarType.Float);
            }
        }
    }

    private static Tensor ids(int... tokens) {
        return Tensors.ids(Device.cpu(), tokens, 1, tokens.length);
    }

    private static Tensor parameter(LanguageModel model, String name) {
        return model.parameters().stream()
                .filter(p -> p.name().equals(name))
                .findFirst()
                .orElseThrow()
                .tensor();
    }
}
