package org.nanodo.experimental;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.checkpoint.Contents;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.checkpoint.Slice;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Json;
import org.nanodo.files.Manifest;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.Init;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFiles;
import org.nanodo.model.ModelUse;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;

/** Reads and writes Hugging Face's model directories, which contain {@code config.json} and {@code model.safetensors}. */
public final class HuggingFace {
    private static final String CONFIG = "config.json";
    private static final String PARAMETERS = ModelFiles.TENSORS + ".safetensors";

    /** Tensors that are not parameters: causal masks, RoPE's frequencies, a head that repeats the embedding. */
    private static final String NOT_PARAMETERS =
            ".*\\.attn\\.(masked_)?bias|.*\\.rotary_emb\\.inv_freq|lm_head\\.weight";

    private HuggingFace() {}

    /**
     * Reads a GPT-2.
     *
     * @throws IllegalArgumentException if it computes something else than GPT-2 as OpenAI released it
     * @throws CorruptFileException if the tensors do not match the config
     */
    public static Gpt2 gpt2(Path directory, Device device) throws IOException {
        var config = config(directory, HuggingFaceConfig.ForGpt2.class).ours(directory.resolve(CONFIG));
        return load(directory, device, source -> new Gpt2(config, device, source));
    }

    /**
     * Reads a Llama. Its L is the longest context that it was trained for, which costs nothing until it is used.
     *
     * @throws IllegalArgumentException if it computes something else than {@link Llama}, for example with scaled RoPE
     * @throws CorruptFileException if the tensors do not match the config
     */
    public static Llama llama(Path directory, Device device) throws IOException {
        var config = config(directory, HuggingFaceConfig.ForLlama.class).ours(directory.resolve(CONFIG));
        return load(directory, device, source -> new Llama(config, device, source));
    }

    private static <T> T config(Path directory, Class<T> type) throws IOException {
        Manifest.verify(directory, Set.of(CONFIG, PARAMETERS));
        return Json.read(directory.resolve(CONFIG), type);
    }

    private static <M extends LanguageModel> M load(Path directory, Device device, Function<Init.Source, M> create)
            throws IOException {
        Path path = directory.resolve(PARAMETERS);
        try (var file = Safetensors.open(path)) {
            M model = ModelFiles.load(file, path, create, device, name -> theirName(file.names(), name));
            var unused = new HashSet<>(file.names());
            model.parameters().forEach(parameter -> unused.remove(theirName(file.names(), parameter.name())));
            unused.removeIf(name -> name.matches(NOT_PARAMETERS));
            if (!unused.isEmpty()) {
                model.close();
                throw new IllegalArgumentException(path + " has tensors that this model does not have: " + unused);
            }
            return model;
        }
    }

    /** Drops the prefix for files of a model without its head, such as OpenAI's GPT-2. */
    private static String theirName(Set<String> names, String ours) {
        return names.contains(ours) ? ours : ours.replaceFirst("^(transformer|model)\\.", "");
    }

    /**
     * Writes a new directory with the default model as a GPT-2 whose biases are zero. Its config contains this library's
     * epsilon, 1e-6, so that Hugging Face's GPT2LMHeadModel computes the same logits.
     */
    public static void saveGpt2(DecoderModel model, Path directory) throws IOException {
        try (var use = ModelUse.inference(model.parameters());
                var scope = Scope.open();
                var off = Grad.off()) {
            AtomicDirectory.create(
                    directory,
                    new Contents()
                            .json(CONFIG, gpt2Config(model.config()))
                            .tensors(ModelFiles.TENSORS, Slice.all(gpt2Tensors(model))));
        }
    }

    /** BOS and EOS are null because the defaults are ids of OpenAI's vocabulary. */
    private static ObjectNode gpt2Config(TransformerConfig ours) {
        return Json.read(
                """
                {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2",
                 "n_embd": %s, "n_head": %s, "n_positions": %s, "n_layer": %s, "vocab_size": %s, "n_inner": %s,
                 "activation_function": "gelu_new", "layer_norm_epsilon": %s, "tie_word_embeddings": true,
                 "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
                 "bos_token_id": null, "eos_token_id": null, "torch_dtype": "float32"}"""
                        .formatted(
                                ours.D(),
                                ours.H(),
                                ours.L(),
                                ours.N(),
                                ours.V(),
                                ours.F(),
                                DecoderModel.LAYER_NORM_EPS),
                ObjectNode.class);
    }

    private static Map<String, Tensor> gpt2Tensors(DecoderModel model) {
        var ours = new HashMap<String, Tensor>();
        model.parameters().forEach(p -> ours.put(p.name(), p.tensor().detach()));
        var theirs = new LinkedHashMap<String, Tensor>();
        theirs.put("transformer.wte.weight", ours.get("embed"));
        theirs.put("transformer.wpe.weight", ours.get("pos_embed"));
        for (int i = 0; i < model.config().N(); i++) {
            String from = "blocks." + i + ".";
            String to = "transformer.h." + i + ".";
            var queryKeyValue = new TensorVector();
            for (String name : new String[] {"query", "key", "value"}) {
                queryKeyValue.push_back(ours.get(from + name).flatten(1, 2));
            }
            putLayer(theirs, to + "ln_1", ours.get(from + "norm1"));
            putLayer(theirs, to + "attn.c_attn", torch.cat(queryKeyValue, 1));
            putLayer(theirs, to + "attn.c_proj", ours.get(from + "attn_out").flatten(0, 1));
            putLayer(theirs, to + "ln_2", ours.get(from + "norm2"));
            putLayer(theirs, to + "mlp.c_fc", ours.get(from + "mlp_in"));
            putLayer(theirs, to + "mlp.c_proj", ours.get(from + "mlp_out"));
        }
        putLayer(theirs, "transformer.ln_f", ours.get("out_norm"));
        return theirs;
    }

    private static void putLayer(Map<String, Tensor> tensors, String layer, Tensor weight) {
        tensors.put(layer + ".weight", weight);
        tensors.put(layer + ".bias", weight.new_zeros(weight.size(-1)));
    }
}
