package org.nanodo.experimental;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.nio.file.Path;
import java.util.Map;
import org.nanodo.model.TransformerConfig;

/** The fields of Hugging Face's configs that decide what a model computes. An absent field has Hugging Face's default. */
final class HuggingFaceConfig {
    private HuggingFaceConfig() {}

    /** Hugging Face's GPT2Config. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    record ForGpt2(
            @JsonProperty("model_type") String modelType,
            @JsonProperty(value = "n_embd", required = true) int D,
            @JsonProperty(value = "n_head", required = true) int H,
            @JsonProperty(value = "n_positions", required = true) int L,
            @JsonProperty(value = "n_layer", required = true) int N,
            @JsonProperty(value = "vocab_size", required = true) int V,
            @JsonProperty("n_inner") Integer F,
            @JsonProperty("activation_function") String activation,
            @JsonProperty("layer_norm_epsilon") Double eps,
            @JsonProperty("tie_word_embeddings") Boolean tied,
            @JsonProperty("scale_attn_weights") Boolean scaled,
            @JsonProperty("scale_attn_by_inverse_layer_idx") Boolean scaledByLayer) {

        Gpt2.Config ours(Path file) {
            boolean gelu = activation == null || activation.matches("gelu_new|gelu_pytorch_tanh");
            require("gpt2".equals(modelType), file, "model_type", modelType, "gpt2");
            require(gelu, file, "activation_function", activation, "gelu_new");
            require(tied == null || tied, file, "tie_word_embeddings", tied, true);
            require(scaled == null || scaled, file, "scale_attn_weights", scaled, true);
            require(!Boolean.TRUE.equals(scaledByLayer), file, "scale_attn_by_inverse_layer_idx", scaledByLayer, false);
            var config = Gpt2.Config.of(sizes(D, H, L, N, V, F == null ? 4 * D : F));
            return eps == null ? config : config.eps(eps);
        }
    }

    /** Hugging Face's LlamaConfig. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    record ForLlama(
            @JsonProperty("model_type") String modelType,
            @JsonProperty(value = "hidden_size", required = true) int D,
            @JsonProperty(value = "num_attention_heads", required = true) int H,
            @JsonProperty(value = "max_position_embeddings", required = true) int L,
            @JsonProperty(value = "num_hidden_layers", required = true) int N,
            @JsonProperty(value = "vocab_size", required = true) int V,
            @JsonProperty(value = "intermediate_size", required = true) int F,
            @JsonProperty("num_key_value_heads") Integer kvHeads,
            @JsonProperty("head_dim") Integer Dh,
            @JsonProperty("rope_theta") Double ropeTheta,
            @JsonProperty("rope_scaling") Map<String, Object> ropeScaling,
            @JsonProperty("rope_parameters") Rope rope,
            @JsonProperty("rms_norm_eps") Double eps,
            @JsonProperty("hidden_act") String activation,
            @JsonProperty("attention_bias") Boolean attentionBias,
            @JsonProperty("mlp_bias") Boolean mlpBias,
            @JsonProperty("tie_word_embeddings") Boolean tied) {

        /** Where newer versions write RoPE's theta and scaling. */
        @JsonIgnoreProperties(ignoreUnknown = true)
        record Rope(@JsonProperty("rope_theta") Double theta, @JsonProperty("rope_type") String type) {}

        LlamaConfig ours(Path file) {
            require("llama".equals(modelType), file, "model_type", modelType, "llama");
            require(activation == null || activation.equals("silu"), file, "hidden_act", activation, "silu");
            require(ropeScaling == null, file, "rope_scaling", ropeScaling, "null");
            require(rope == null || "default".equals(rope.type), file, "rope_parameters", rope, "the default type");
            require(Dh == null || (long) Dh * H == D, file, "head_dim", Dh, "hidden_size / num_attention_heads");
            require(!Boolean.TRUE.equals(attentionBias), file, "attention_bias", attentionBias, false);
            require(!Boolean.TRUE.equals(mlpBias), file, "mlp_bias", mlpBias, false);
            LlamaConfig config = LlamaConfig.of(sizes(D, H, L, N, V, F))
                    .kvHeads(kvHeads == null ? H : kvHeads)
                    .eps(eps == null ? 1e-6 : eps)
                    .tied(Boolean.TRUE.equals(tied));
            Double theta = rope != null && rope.theta != null ? rope.theta : ropeTheta;
            return theta == null ? config : config.ropeTheta(theta);
        }
    }

    private static TransformerConfig sizes(int D, int H, int L, int N, int V, int F) {
        return TransformerConfig.builder().D(D).H(H).L(L).N(N).V(V).F(F).build();
    }

    private static void require(boolean holds, Path file, String field, Object value, Object supported) {
        if (!holds) {
            throw new IllegalArgumentException(
                    file + " has " + field + " " + value + ", but only " + supported + " is supported");
        }
    }
}
