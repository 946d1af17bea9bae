package org.nanodo.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.checkpoint.AtomicDirectory;
import org.nanodo.checkpoint.Contents;
import org.nanodo.checkpoint.CorruptFileException;
import org.nanodo.checkpoint.Json;
import org.nanodo.checkpoint.Manifest;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.checkpoint.Slice;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Hugging Face's folders of GPT-2 models: {@code config.json} and {@code model.safetensors}. GPT-2 is this model with
 * biases in its layers and normalisations, so that every {@link DecoderModel} is a GPT-2 whose biases are zero; a GPT-2
 * with others, as OpenAI's are, is no {@link DecoderModel}.
 */
public final class Gpt2Files {
    private static final Logger log = LoggerFactory.getLogger(Gpt2Files.class);
    private static final String CONFIG = "config.json";
    private static final String PARAMETERS = "model.safetensors";
    private static final String PREFIX = "transformer.";
    private static final String HEAD = "lm_head.weight";

    /**
     * Where a parameter of ours stands.
     *
     * @param layer GPT-2's, whose weight it is
     * @param third which third of the weight's columns it takes, or -1 for all
     */
    private record Place(String layer, int third) {
        static Place of(String ours) {
            String[] path = ours.split("\\.");
            String block = path.length == 1 ? "" : "h." + path[1] + ".";
            return switch (path[path.length - 1]) {
                case "embed" -> new Place("wte", -1);
                case "pos_embed" -> new Place("wpe", -1);
                case "out_norm" -> new Place("ln_f", -1);
                case "norm1" -> new Place(block + "ln_1", -1);
                case "query" -> new Place(block + "attn.c_attn", 0);
                case "key" -> new Place(block + "attn.c_attn", 1);
                case "value" -> new Place(block + "attn.c_attn", 2);
                case "attn_out" -> new Place(block + "attn.c_proj", -1);
                case "norm2" -> new Place(block + "ln_2", -1);
                case "mlp_in" -> new Place(block + "mlp.c_fc", -1);
                case "mlp_out" -> new Place(block + "mlp.c_proj", -1);
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

        /** The shape of GPT-2's weight for a parameter of ours. */
        long[] weightShape(long[] ours) {
            if (ours.length < 3) {
                return ours;
            }
            return third < 0 ? new long[] {ours[0] * ours[1], ours[2]} : new long[] {ours[0], 3 * ours[1] * ours[2]};
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
        var parts = new LinkedHashMap<Place, Tensor>();
        model.parameters().forEach(p -> {
            Place place = Place.of(p.name());
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
                                matrix, parts.get(new Place(place.layer, 1)), parts.get(new Place(place.layer, 2))),
                        1);
            }
            tensors.put(PREFIX + place.weight(), weight);
            if (place.hasBias()) {
                tensors.put(PREFIX + place.bias(), weight.new_zeros(new long[] {weight.size(-1)}));
            }
        });
        return tensors;
    }

    /** Reads a folder onto the CPU. */
    public static DecoderModel load(Path directory) throws IOException {
        return load(directory, Device.cpu());
    }

    /**
     * Reads a folder. Where its config says another epsilon than 1e-6, GPT-2's own is 1e-5, a warning is logged.
     *
     * @throws IllegalArgumentException if that GPT-2 is no {@link DecoderModel}: if a bias is not zero, say
     * @throws CorruptFileException if the tensors are not those of the config
     */
    public static DecoderModel load(Path directory, Device device) throws IOException {
        Manifest.verify(directory, Set.of(CONFIG, PARAMETERS));
        Path path = directory.resolve(CONFIG);
        Gpt2Config theirs = Json.read(path, Gpt2Config.class);
        TransformerConfig config = theirs.sizes(path);
        if (theirs.epsilon() != DecoderModel.LAYER_NORM_EPS) {
            log.warn(
                    "{} normalises with an epsilon of {}, this library with {}: logits differ in their last digits",
                    path,
                    theirs.epsilon(),
                    DecoderModel.LAYER_NORM_EPS);
        }
        try (var scope = Scope.open();
                var off = Grad.off();
                var file = Safetensors.open(directory.resolve(PARAMETERS))) {
            return new Reader(directory.resolve(PARAMETERS), file).read(config, device);
        }
    }

    /** Reads one file, in whose names {@link #PREFIX} may be left out. */
    private static final class Reader {
        private final Path path;
        private final Safetensors file;
        private final String prefix;

        Reader(Path path, Safetensors file) {
            this.path = path;
            this.file = file;
            prefix = file.names().contains(PREFIX + "wte.weight") ? PREFIX : "";
        }

        DecoderModel read(TransformerConfig config, Device device) throws IOException {
            checkWhatIsNotOurs(config);
            return ModelFiles.build(
                    source -> new DecoderModel(config, device, source),
                    (name, shape) -> Tensors.to(parameter(Place.of(name), shape), device));
        }

        private Tensor parameter(Place place, long[] shape) throws IOException {
            String name = prefix + place.weight();
            ModelFiles.checkShape(file.shape(name), path, name, place.weightShape(shape));
            Tensor weight = file.read(name, Device.cpu());
            if (place.third >= 0) {
                weight = weight.narrow(1, place.third * shape[0], shape[0]);
            }
            return weight.reshape(shape).contiguous();
        }

        /** Everything but our weights has to be there for nothing: zero biases, causal masks, the tied head. */
        private void checkWhatIsNotOurs(TransformerConfig config) throws IOException {
            Set<String> weights = weights(config.N());
            for (String name : file.names()) {
                if (weights.contains(name) || name.matches(".*\\.attn\\.(masked_)?bias")) {
                    continue;
                } else if (name.equals(HEAD)) {
                    Tensor embed_VxD = file.read(prefix + "wte.weight", Device.cpu());
                    require(file.read(name, Device.cpu()).equal(embed_VxD), name, "is not the embedding wte.weight");
                } else {
                    require(name.endsWith(".bias"), name, "has no place in it");
                    Tensor bias = file.read(name, Device.cpu());
                    require(bias.count_nonzero().item_long() == 0, name, "is not zero: it has no biases");
                }
            }
        }

        private Set<String> weights(int N) {
            var weights = new HashSet<String>();
            for (String name : List.of("embed", "pos_embed", "out_norm")) {
                weights.add(prefix + Place.of(name).weight());
            }
            for (int i = 0; i < N; i++) {
                for (String name : List.of("norm1", "query", "attn_out", "norm2", "mlp_in", "mlp_out")) {
                    weights.add(prefix + Place.of("blocks." + i + "." + name).weight());
                }
            }
            return weights;
        }

        private void require(boolean holds, String name, String otherwise) {
            if (!holds) {
                throw new IllegalArgumentException(
                        path + " is not a model that this library computes: " + name + " " + otherwise);
            }
        }
    }
}
