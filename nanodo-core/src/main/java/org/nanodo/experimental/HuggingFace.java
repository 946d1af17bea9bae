package org.nanodo.experimental;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Json;
import org.nanodo.files.Manifest;
import org.nanodo.model.Init;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFiles;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;

/** Hugging Face's folders of GPT-2 and Llama models, OpenAI's and Meta's for example: config and parameters. */
public final class HuggingFace {
    private static final String CONFIG = "config.json";
    private static final String PARAMETERS = "model.safetensors";

    /** Stored, but no parameters: causal masks, RoPE's frequencies, a head that is the embedding again. */
    private static final String NOT_PARAMETERS =
            ".*\\.attn\\.(masked_)?bias|.*\\.rotary_emb\\.inv_freq|lm_head\\.weight";

    private HuggingFace() {}

    /**
     * Reads a GPT-2.
     *
     * @throws IllegalArgumentException if it computes something else than GPT-2 as OpenAI released it
     * @throws CorruptFileException if the tensors are not those of the config
     */
    public static Gpt2 gpt2(Path directory, Device device) throws IOException {
        Path file = directory.resolve(CONFIG);
        Gpt2Config theirs = read(directory, Gpt2Config.class);
        var config = new Gpt2.Config(theirs.sizes(file), theirs.epsilon());
        return load(directory, device, source -> new Gpt2(config, device, source));
    }

    /**
     * Reads a Llama. Its L is the longest context that it was trained for, which costs nothing until it is used.
     *
     * @throws IllegalArgumentException if it computes something else than {@link Llama}: if its RoPE is scaled, say
     * @throws CorruptFileException if the tensors are not those of the config
     */
    public static Llama llama(Path directory, Device device) throws IOException {
        LlamaConfig config = read(directory, TheirLlama.class).ours(directory.resolve(CONFIG));
        return load(directory, device, source -> new Llama(config, device, source));
    }

    private static <T> T read(Path directory, Class<T> type) throws IOException {
        Manifest.verify(directory, Set.of(CONFIG, PARAMETERS));
        return Json.read(directory.resolve(CONFIG), type);
    }

    private static <M extends LanguageModel> M load(Path directory, Device device, Function<Init.Source, M> create)
            throws IOException {
        Path path = directory.resolve(PARAMETERS);
        try (var file = Safetensors.open(path)) {
            M model = ModelFiles.load(file, path, create, device, name -> theirName(file.names(), name));
            var others = new HashSet<>(file.names());
            model.parameters().forEach(parameter -> others.remove(theirName(file.names(), parameter.name())));
            others.removeIf(name -> name.matches(NOT_PARAMETERS));
            if (!others.isEmpty()) {
                model.close();
                throw new IllegalArgumentException(path + " has tensors that this model has no place for: " + others);
            }
            return model;
        }
    }

    /** Files of the model without its head lack the prefix; OpenAI's GPT-2 is one. */
    private static String theirName(Set<String> names, String ours) {
        return names.contains(ours) ? ours : ours.replaceFirst("^(transformer|model)\\.", "");
    }

    /** What decides in Hugging Face's LlamaConfig what a Llama computes. What is absent has the default that it has there. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    record TheirLlama(
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
            require(ropeScaling == null, file, "rope_scaling", ropeScaling, "none");
            require(rope == null || "default".equals(rope.type), file, "rope_parameters", rope, "the default type");
            require(Dh == null || (long) Dh * H == D, file, "head_dim", Dh, "hidden_size / num_attention_heads");
            require(attentionBias == null || !attentionBias, file, "attention_bias", attentionBias, false);
            require(mlpBias == null || !mlpBias, file, "mlp_bias", mlpBias, false);
            return new LlamaConfig(
                    new TransformerConfig(D, H, L, N, V, F, null, null),
                    kvHeads == null ? H : kvHeads,
                    rope != null && rope.theta != null ? rope.theta : ropeTheta,
                    eps == null ? 1e-6 : eps,
                    tied);
        }

        private static void require(boolean holds, Path file, String field, Object value, Object wanted) {
            if (!holds) {
                throw new IllegalArgumentException(
                        file + " has " + field + " " + value + ", this library computes " + wanted + " only");
            }
        }
    }
}
