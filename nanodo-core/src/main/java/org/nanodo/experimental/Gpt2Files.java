package org.nanodo.experimental;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.checkpoint.Contents;
import org.nanodo.checkpoint.Slice;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.ModelFiles;
import org.nanodo.model.ModelUse;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;

/**
 * Hugging Face's folders of GPT-2 models: {@code config.json} and {@code model.safetensors}. GPT-2 is this model with
 * biases in its layers and normalisations, so that every {@link DecoderModel} is a GPT-2 whose biases are zero; a GPT-2
 * with others, as OpenAI's are, is no {@link DecoderModel}.
 */
public final class Gpt2Files {
    private static final String CONFIG = "config.json";
    private static final String PREFIX = "transformer.";

    /**
     * Where a parameter of ours stands.
     *
     * @param layer GPT-2's, whose weight it is
     * @param third which third of the weight's columns it takes, or -1 for all
     */
    private record Gpt2Weight(String layer, int third) {
        static Gpt2Weight of(String ours) {
            String[] path = ours.split("\\.");
            String block = path.length == 1 ? "" : "h." + path[1] + ".";
            return switch (path[path.length - 1]) {
                case "embed" -> new Gpt2Weight("wte", -1);
                case "pos_embed" -> new Gpt2Weight("wpe", -1);
                case "out_norm" -> new Gpt2Weight("ln_f", -1);
                case "norm1" -> new Gpt2Weight(block + "ln_1", -1);
                case "query" -> new Gpt2Weight(block + "attn.c_attn", 0);
                case "key" -> new Gpt2Weight(block + "attn.c_attn", 1);
                case "value" -> new Gpt2Weight(block + "attn.c_attn", 2);
                case "attn_out" -> new Gpt2Weight(block + "attn.c_proj", -1);
                case "norm2" -> new Gpt2Weight(block + "ln_2", -1);
                case "mlp_in" -> new Gpt2Weight(block + "mlp.c_fc", -1);
                case "mlp_out" -> new Gpt2Weight(block + "mlp.c_proj", -1);
                default -> throw new IllegalArgumentException("GPT-2 has no place for a parameter \"" + ours + "\"");
            };
        }

        String weight() {
            return layer + ".weight";
        }

        String bias() {
            return layer + ".bias";
        }

        boolean hasBias() {
            return !layer.equals("wte") && !layer.equals("wpe");
        }

        /** A parameter as a matrix: kernels are (in, out) there too, but know no heads. */
        Tensor matrix(Tensor ours) {
            if (ours.dim() < 3) {
                return ours;
            }
            return third < 0 ? ours.flatten(0, 1) : ours.flatten(1, 2);
        }
    }

    private Gpt2Files() {}

    /** Writes a new folder. Its config names this library's epsilon, 1e-6, so that the logits are the same there. */
    public static void save(DecoderModel model, Path directory) throws IOException {
        try (var use = ModelUse.inference(model.parameters());
                var scope = Scope.open();
                var off = Grad.off()) {
            AtomicDirectory.create(
                    directory,
                    new Contents()
                            .json(CONFIG, Gpt2Config.of(model.config()))
                            .tensors(ModelFiles.TENSORS, Slice.all(tensors(model))));
        }
    }

    private static Map<String, Tensor> tensors(DecoderModel model) {
        var parts = new LinkedHashMap<Gpt2Weight, Tensor>();
        model.parameters().forEach(p -> {
            Gpt2Weight place = Gpt2Weight.of(p.name());
            parts.put(place, place.matrix(p.tensor().detach()));
        });
        var tensors = new LinkedHashMap<String, Tensor>();
        parts.forEach((place, matrix) -> {
            Tensor weight = matrix;
            if (place.third > 0) {
                return; // went with the first
            } else if (place.third == 0) {
                weight = torch.cat(
                        new TensorVector(
                                matrix,
                                parts.get(new Gpt2Weight(place.layer, 1)),
                                parts.get(new Gpt2Weight(place.layer, 2))),
                        1);
            }
            tensors.put(PREFIX + place.weight(), weight);
            if (place.hasBias()) {
                tensors.put(PREFIX + place.bias(), weight.new_zeros(new long[] {weight.size(-1)}));
            }
        });
        return tensors;
    }
}
