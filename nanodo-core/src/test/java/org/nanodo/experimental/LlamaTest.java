package org.nanodo.experimental;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.Golden;
import org.nanodo.TinyRun;
import org.nanodo.data.Batch;
import org.nanodo.files.Json;
import org.nanodo.model.Attention;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.PlainPass;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;
import org.nanodo.train.BlockWalk;
import org.nanodo.train.Loss;
import org.nanodo.train.MicroBatch;
import org.nanodo.train.Residency;

class LlamaTest {
    private static final TransformerConfig SIZES =
            TransformerConfig.builder().D(32).H(8).L(12).N(2).V(50).F(48).build();
    private static final int[] TOKENS = {3, 17, 4, 9, 49, 0, 3, 3, 21, 22, 23, 24};

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theEngineEqualsAutogradWithAHeadOfItsOwnAndWithATiedOne(boolean tied) {
        var config = LlamaConfig.of(SIZES).tied(tied);
        try (var walked = Llama.create(config, 1);
                var whole = Llama.create(config, 1)) {
            assertThat(walked.parameters()).hasSize(2 + 2 * 9 + (tied ? 0 : 1));
            Batch batch = Batch.of(12, TOKENS, 12);
            new BlockWalk(walked, Residency.ALWAYS).lossAndGradients(MicroBatch.of(batch));
            Loss.crossEntropy()
                    .sum(Loss.Chunk.of(
                            whole.forward(Tensors.ids(Device.cpu(), TOKENS, 1, 12))
                                    .flatten(0, 1),
                            Tensors.ids(Device.cpu(), batch.targets_BxL(), 12),
                            Tensors.floats(Device.cpu(), batch.weights_BxL(), 12)))
                    .backward();
            TinyRun.assertSameGradients(walked, whole);
        }
    }

    /** Which is what a cache keeps. */
    @Test
    void attentionIsGivenTheHeadsOfKeysAndValuesOnce() {
        try (var model = Llama.create(LlamaConfig.of(SIZES).kvHeads(2), 1)) {
            Attention attention = (q_BxHxLxDh, k_BxKxLxDh, v_BxKxLxDh, kernel) -> {
                assertThat(q_BxHxLxDh.shape()).containsExactly(1, 8, 12, 4);
                assertThat(k_BxKxLxDh.shape()).containsExactly(1, 2, 12, 4);
                assertThat(v_BxKxLxDh.shape()).containsExactly(1, 2, 12, 4);
                return Attention.CAUSAL.of(q_BxHxLxDh, k_BxKxLxDh, v_BxKxLxDh, kernel);
            };
            assertThat(hidden(model, attention, 0).equal(hidden(model, Attention.CAUSAL, 0)))
                    .isTrue();
        }
    }

    /** Relative positions alone matter: all of them moved by 100 change nothing but roundings. */
    @Test
    void positionsAreRelative() {
        try (var model = Llama.create(LlamaConfig.of(SIZES), 1)) {
            assertThat(Golden.relativeError(hidden(model, Attention.CAUSAL, 100), hidden(model, Attention.CAUSAL, 0)))
                    .isLessThan(1e-5);
        }
    }

    private static Tensor hidden(Llama model, Attention attention, long firstPosition) {
        Tensor positions_1xL = Tensors.range(Device.cpu(), firstPosition + 12)
                .narrow(0, firstPosition, 12)
                .unsqueeze(0);
        return model.hidden(
                Tensors.ids(Device.cpu(), TOKENS, 1, 12),
                new PlainPass(attention, positions_1xL, Tensors.zeros(Device.cpu(), 1, 12)));
    }

    @Test
    void isMadeOfItsJson() {
        String json = "{\"sizes\":" + Json.write(SIZES) + ",\"kvHeads\":4,\"tied\":true}";
        ModelFactory<?> factory = ModelFactory.named("llama");
        try (LanguageModel model = factory.create(json, 1, Device.cpu());
                var same = Llama.create(LlamaConfig.of(SIZES).kvHeads(4).tied(true), 1)) {
            assertThat(model.spec()).isEqualTo(same.spec());
            assertThat(model.logProbs(TOKENS)).isEqualTo(same.logProbs(TOKENS));
            assertThat(model.parameters().stream().map(p -> p.name() + Arrays.toString(p.shape())))
                    .contains("model.layers.1.self_attn.k_proj.weight[16, 32]");
        }
        for (String wrong : List.of("{}", "[]", json.replace("kvHeads", "heads"), json.replace("4,\"t", "\"4\",\"t"))) {
            assertThatThrownBy(() -> factory.create(wrong, 1, Device.cpu()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("Not a valid LlamaConfig");
        }
    }

    @Test
    void whatCannotBeIsNamed() {
        assertThatThrownBy(() -> LlamaConfig.of(SIZES).kvHeads(3))
                .hasMessageContaining("kvHeads is 3, it must divide H=8");
        assertThatThrownBy(() -> LlamaConfig.of(SIZES).kvHeads(0)).hasMessageContaining("kvHeads is 0");
        assertThatThrownBy(() -> LlamaConfig.of(SIZES).ropeTheta(-1)).hasMessageContaining("must be positive");
        assertThatThrownBy(() -> LlamaConfig.of(TransformerConfig.builder()
                        .D(35)
                        .H(5)
                        .L(12)
                        .N(2)
                        .V(50)
                        .F(48)
                        .build()))
                .hasMessageContaining("D/H=7")
                .hasMessageContaining("even");
    }
}
