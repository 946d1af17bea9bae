package org.nanodo.experimental;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.TransformerConfig;

/** What decides in Hugging Face's GPT2Config what a GPT-2 computes. What is absent has the default that it has there. */
@JsonIgnoreProperties(ignoreUnknown = true)
public record Gpt2Config(
        @JsonProperty("model_type") String modelType,
        @JsonProperty(value = "n_embd", required = true) int D,
        @JsonProperty(value = "n_head", required = true) int H,
        @JsonProperty(value = "n_positions", required = true) int L,
        @JsonProperty(value = "n_layer", required = true) int N,
        @JsonProperty(value = "vocab_size", required = true) int V,
        @JsonProperty("n_inner") Integer F,
        @JsonProperty("activation_function") String activation,
        @JsonProperty("layer_norm_epsilon") Double epsilon,
        @JsonProperty("tie_word_embeddings") Boolean tied,
        @JsonProperty("scale_attn_weights") Boolean scaled,
        @JsonProperty("scale_attn_by_inverse_layer_idx") Boolean scaledByLayer) {
    public Gpt2Config {
        activation = activation == null ? "gelu_new" : activation;
        epsilon = epsilon == null ? 1e-5 : epsilon;
    }

    /** @throws IllegalArgumentException if it computes something else than GPT-2 as OpenAI released it */
    public TransformerConfig sizes(Path file) {
        require("gpt2".equals(modelType), file, "model_type", modelType, "gpt2");
        require(activation.matches("gelu_new|gelu_pytorch_tanh"), file, "activation_function", activation, "gelu_new");
        require(tied == null || tied, file, "tie_word_embeddings", tied, true);
        require(scaled == null || scaled, file, "scale_attn_weights", scaled, true);
        require(scaledByLayer == null || !scaledByLayer, file, "scale_attn_by_inverse_layer_idx", scaledByLayer, false);
        return new TransformerConfig(D, H, L, N, V, F == null ? 4 * D : F, null, null);
    }

    private static void require(boolean holds, Path file, String field, Object value, Object wanted) {
        if (!holds) {
            throw new IllegalArgumentException(
                    file + " has " + field + " " + value + ", this library computes " + wanted + " only");
        }
    }

    /** The config under which Hugging Face's GPT2LMHeadModel computes what a model of ours does. */
    static Map<String, Object> of(TransformerConfig ours) {
        var config = new LinkedHashMap<String, Object>();
        config.put("architectures", List.of("GPT2LMHeadModel"));
        config.put("model_type", "gpt2");
        config.put("n_embd", ours.D());
        config.put("n_head", ours.H());
        config.put("n_positions", ours.L());
        config.put("n_layer", ours.N());
        config.put("vocab_size", ours.V());
        config.put("n_inner", ours.F());
        config.put("activation_function", "gelu_new");
        config.put("layer_norm_epsilon", DecoderModel.LAYER_NORM_EPS);
        config.put("tie_word_embeddings", true);
        for (String dropout : List.of("attn_pdrop", "embd_pdrop", "resid_pdrop")) {
            config.put(dropout, 0.0);
        }
        config.put("bos_token_id", null); // the default there is an id of OpenAI's vocabulary
        config.put("eos_token_id", null);
        config.put("torch_dtype", "float32");
        return config;
    }
}
