package org.nanodo.experimental;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.Golden;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.data.Batch;
import org.nanodo.files.CorruptFileException;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Tensors;
import org.nanodo.train.Engine;
import org.nanodo.train.MicroBatch;

/** Models read from Hugging Face's names compute what an independent float64 implementation does: law 1. */
class HuggingFaceTest {
    private static final String GPT2 =
            """
            {"model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_positions": 16, "n_layer": 2, "vocab_size": 61,
             "architectures": ["GPT2LMHeadModel"]}""";
    private static final String LLAMA =
            """
            {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
             "max_position_embeddings": 16, "num_hidden_layers": 2, "vocab_size": 61, "intermediate_size": 80,
             "rms_norm_eps": 1e-05, "rope_theta": 10000, "rope_scaling": null, "tie_word_embeddings": false,
             "hidden_act": "silu", "torch_dtype": "float32"}""";

    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"gpt2", "llama"})
    void logitsLossAndEveryGradientAreThoseOfTheReference(String kind) throws Exception {
        try (var golden = new Golden(kind);
                var model = load(kind, config(kind), tensors -> {})) {
            Batch batch = batch(golden);
            try (var off = Grad.off()) {
                Tensor logits = model.forward(golden.tensor("x"));
                assertThat(Golden.relativeError(logits, golden.tensor("logits")))
                        .isLessThan(2e-5);
            }
            Tensor sum = Engine.of(model).lossAndGradients(MicroBatch.of(batch));
            assertThat(sum.item_double() / batch.weight()).isCloseTo(golden.scalar("loss"), within(1e-5));
            for (Parameter parameter : model.parameters()) {
                Tensor gradient = parameter.tensor().grad().div(new Scalar(batch.weight()));
                assertThat(Golden.relativeError(gradient, golden.tensor("grad." + parameter.name())))
                        .as(parameter.name())
                        .isLessThan(1e-4);
            }
        }
    }

    /** As OpenAI's file is: without the prefix, and with causal masks. */
    @Test
    void namesMayLackThePrefixAndMasksMayBeThere() throws Exception {
        try (var model = load("gpt2", GPT2, tensors -> {});
                var other = load("gpt2", GPT2, tensors -> {
                    var named = new LinkedHashMap<>(tensors);
                    tensors.clear();
                    named.forEach((name, tensor) -> tensors.put(name.replace("transformer.", ""), tensor));
                    tensors.put("h.0.attn.bias", torch.ones(1, 1, 16, 16));
                    tensors.put("lm_head.weight", tensors.get("wte.weight").clone());
                })) {
            assertThat(other.logProbs(1, 2, 3)).isEqualTo(model.logProbs(1, 2, 3));
        }
    }

    @Test
    void newerConfigsHaveRopeElsewhere() throws Exception {
        String newer = LLAMA.replace(
                "\"rope_theta\": 10000", "\"rope_parameters\": {\"rope_theta\": 5000.0, \"rope_type\": \"default\"}");
        try (var model = load("llama", newer, tensors -> {});
                var same = load("llama", LLAMA.replace("10000", "5000"), tensors -> {});
                var other = load("llama", LLAMA, tensors -> {})) {
            assertThat(model.logProbs(1, 2, 3)).isEqualTo(same.logProbs(1, 2, 3));
            assertThat(model.logProbs(1, 2, 3)).isNotEqualTo(other.logProbs(1, 2, 3));
        }
    }

    @Test
    void whatIsComputedOtherwiseIsRefused() {
        for (String[] change : new String[][] {
            {"\"model_type\": \"llama\"", "\"model_type\": \"qwen2\""},
            {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\""},
            {"\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}"},
            {"\"rope_scaling\": null", "\"head_dim\": 16"},
            {"\"rope_scaling\": null", "\"mlp_bias\": true"}
        }) {
            assertThatThrownBy(() -> load("llama", LLAMA.replace(change[0], change[1]), tensors -> {}))
                    .as(change[1])
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("config.json has ")
                    .hasMessageContaining("is supported");
        }
        assertThatThrownBy(() ->
                        load("llama", LLAMA, tensors -> tensors.put("model.layers.2.norm.weight", torch.ones(32))))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("does not have: [model.layers.2.norm.weight]");
        assertThatThrownBy(() -> load("llama", LLAMA.replace("value_heads\": 2", "value_heads\": 4"), tensors -> {}))
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining("k_proj.weight\" is [16, 32], the config requires [32, 32]");
        assertThatThrownBy(() -> load("llama", LLAMA.replace("value_heads\": 2", "value_heads\": 3"), tensors -> {}))
                .hasMessageContaining("kvHeads is 3, it must divide H=4");
    }

    private static String config(String kind) {
        return kind.equals("gpt2") ? GPT2 : LLAMA;
    }

    /** Writes the reference's parameters as a directory of Hugging Face's, and reads it. */
    private LanguageModel load(String kind, String config, Consumer<Map<String, Tensor>> change) throws Exception {
        Path theirs = Files.createTempDirectory(directory, kind);
        Files.writeString(theirs.resolve("config.json"), config);
        try (var golden = new Golden(kind)) {
            var tensors = new LinkedHashMap<String, Tensor>();
            for (String name : golden.names()) {
                if (name.startsWith("param.")) {
                    tensors.put(name.substring("param.".length()), golden.tensor(name));
                }
            }
            change.accept(tensors);
            Safetensors.write(theirs.resolve("model.safetensors"), tensors, Map.of());
        }
        return kind.equals("gpt2") ? HuggingFace.gpt2(theirs, Device.cpu()) : HuggingFace.llama(theirs, Device.cpu());
    }

    private static Batch batch(Golden golden) throws Exception {
        Tensor x_BxL = golden.tensor("x");
        var weights = new float[(int) x_BxL.numel()];
        Arrays.fill(weights, 1);
        return new Batch(
                (int) x_BxL.size(0), (int) x_BxL.size(1), ints(x_BxL), ints(golden.tensor("y")), weights, new int[0]);
    }

    private static int[] ints(Tensor ids) {
        float[] values = Tensors.toFloats(ids); // exact for ids as small as these
        int[] ints = new int[values.length];
        Arrays.setAll(ints, i -> (int) values[i]);
        return ints;
    }
}
