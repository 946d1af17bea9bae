package org.nanodo.experimental;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.Golden;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.files.CorruptFileException;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;

class SavedGpt2Test {
    private static final TransformerConfig CONFIG =
            TransformerConfig.builder().D(16).H(2).L(8).N(2).V(30).F(48).build();
    private static final int[] TOKENS = {3, 17, 4, 9, 29, 0, 3, 3};

    @TempDir
    Path directory;

    private final DecoderModel model = DecoderModel.create(CONFIG, 1);

    @AfterEach
    void close() {
        model.close();
    }

    @Test
    void whatIsSavedComesBack() throws Exception {
        Path saved = directory.resolve("gpt2");
        HuggingFace.saveGpt2(model, saved);
        try (var loaded = HuggingFace.gpt2(saved, Device.cpu())) {
            assertThat(loaded.config()).isEqualTo(CONFIG);
            assertThat(loaded.logProbs(TOKENS)).containsExactly(model.logProbs(TOKENS), within(1e-5));
        }
        assertThat(Files.readString(saved.resolve("config.json")))
                .contains("\"layer_norm_epsilon\" : 1.0E-6", "\"n_inner\" : 48", "\"n_head\" : 2");
    }

    /** GPT-2 written down from Hugging Face's modeling_gpt2: Conv1D is x W + b, heads are cut from c_attn's output. */
    @Test
    void gpt2ComputesTheSameFromTheFile() throws Exception {
        Path saved = directory.resolve("gpt2");
        HuggingFace.saveGpt2(model, saved);
        Map<String, Tensor> t = read(saved);
        int L = TOKENS.length;
        Tensor x = t.get("wte.weight")
                .index_select(0, Tensors.ids(Device.cpu(), TOKENS, L))
                .add(t.get("wpe.weight").narrow(0, 0, L));
        Tensor future = torch.ones(L, L).triu(1).to(ScalarType.Bool);
        for (int i = 0; i < CONFIG.N(); i++) {
            String h = "h." + i + ".";
            Tensor qkv = conv1d(layerNorm(x, t, h + "ln_1"), t, h + "attn.c_attn");
            var heads = new TensorVector();
            for (int head = 0; head < CONFIG.H(); head++) {
                Tensor q = qkv.narrow(1, head * 8, 8);
                Tensor k = qkv.narrow(1, 16 + head * 8, 8);
                Tensor v = qkv.narrow(1, 32 + head * 8, 8);
                Tensor scores = q.matmul(k.t()).div(new Scalar(Math.sqrt(8)));
                heads.push_back(scores.masked_fill(future, new Scalar(Double.NEGATIVE_INFINITY))
                        .softmax(-1)
                        .matmul(v));
            }
            x = x.add(conv1d(torch.cat(heads, 1), t, h + "attn.c_proj"));
            Tensor up = torch.gelu(conv1d(layerNorm(x, t, h + "ln_2"), t, h + "mlp.c_fc"), "tanh");
            x = x.add(conv1d(up, t, h + "mlp.c_proj"));
        }
        Tensor logits = layerNorm(x, t, "ln_f").matmul(t.get("wte.weight").t());
        Tensor ours = model.forward(Tensors.ids(Device.cpu(), TOKENS, 1, L)).select(0, 0);
        assertThat(Golden.relativeError(ours, logits)).isLessThan(2e-5);
    }

    @Test
    void aGpt2ThatComputesSomethingElseIsRefused() throws Exception {
        assertThatThrownBy(() -> load(tensors -> tensors.put("h.2.ln_1.weight", torch.ones(16))))
                .hasMessageContaining("does not have: [h.2.ln_1.weight]");
        assertThatThrownBy(() -> load(tensors -> tensors.put("h.0.attn.c_attn.weight", torch.zeros(48, 16))))
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining("[48, 16], the config requires [16, 48]");
        assertThatThrownBy(() -> load(tensors -> tensors.remove("ln_f.weight")))
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining("no tensor \"ln_f.weight\"");
        for (String[] change :
                new String[][] {{"gelu_new", "relu"}, {"gpt2", "llama"}, {"embeddings\" : true", "embeddings\" : false"}
                }) {
            Path other = rewritten(tensors -> {});
            Path config = other.resolve("config.json");
            Files.writeString(config, Files.readString(config).replace(change[0], change[1]));
            assertThatThrownBy(() -> HuggingFace.gpt2(other, Device.cpu()))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("config.json has ")
                    .hasMessageContaining("is supported");
        }
    }

    private Gpt2 load(Consumer<Map<String, Tensor>> change) throws Exception {
        return HuggingFace.gpt2(rewritten(change), Device.cpu());
    }

    /** The saved directory as another program might have written it. */
    private Path rewritten(Consumer<Map<String, Tensor>> change) throws Exception {
        Path saved = Files.createTempDirectory(directory, "gpt2").resolve("saved");
        HuggingFace.saveGpt2(model, saved);
        Map<String, Tensor> tensors = read(saved);
        change.accept(tensors);
        Files.delete(saved.resolve("manifest.json"));
        Files.delete(saved.resolve("model.safetensors"));
        Safetensors.write(saved.resolve("model.safetensors"), tensors, Map.of());
        return saved;
    }

    private static Map<String, Tensor> read(Path saved) throws Exception {
        var tensors = new LinkedHashMap<String, Tensor>();
        try (var file = Safetensors.open(saved.resolve("model.safetensors"))) {
            for (String name : file.names()) {
                tensors.put(name.replace("transformer.", ""), file.read(name, Device.cpu()));
            }
        }
        return tensors;
    }

    private static Tensor conv1d(Tensor x, Map<String, Tensor> t, String layer) {
        return x.matmul(t.get(layer + ".weight")).add(t.get(layer + ".bias"));
    }

    private static Tensor layerNorm(Tensor x, Map<String, Tensor> t, String layer) {
        return torch.layer_norm(
                x,
                new long[] {CONFIG.D()},
                new TensorOptional(t.get(layer + ".weight")),
                new TensorOptional(t.get(layer + ".bias")),
                1e-6,
                true);
    }
}
