package org.nanodo.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.files.CorruptFileException;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;

/** Reads and writes parameters under NanoDO's flax names. The shapes are the same, so weights are not converted. */
public final class FlaxNames {
    private static final Map<String, String> OUTSIDE = Map.of(
            "embed", "embed.embedding",
            "pos_embed", "pos_embed.embedding",
            "out_norm", "out_ln.scale");
    private static final Map<String, String> IN_BLOCK = Map.of(
            "norm1", "LayerNorm_0.scale",
            "query", "CausalAttn_0.query.kernel",
            "key", "CausalAttn_0.key.kernel",
            "value", "CausalAttn_0.value.kernel",
            "attn_out", "CausalAttn_0.attn_out_proj.kernel",
            "norm2", "LayerNorm_1.scale",
            "mlp_in", "Mlp_0.Dense_0.kernel",
            "mlp_out", "Mlp_0.Dense_1.kernel");

    private FlaxNames() {}

    /**
     * Returns NanoDO's name, a path joined by dots, of a parameter of the default model such as {@code blocks.0.norm1}; an empty
     * name for parameters of other models.
     */
    public static String of(String name) {
        String[] parts = name.split("\\.");
        if (parts.length == 3 && parts[0].equals("blocks") && IN_BLOCK.containsKey(parts[2])) {
            return "blocks_" + parts[1] + "." + IN_BLOCK.get(parts[2]);
        }
        return OUTSIDE.getOrDefault(name, "");
    }

    /** Returns the same path joined by slashes, which NanoDO's optimizer options match. */
    public static String path(String name) {
        return of(name).replace('.', '/');
    }

    /**
     * Reads a model that was trained with NanoDO and exported to safetensors. The shapes determine the config.
     *
     * @param prefix of each name in the file, for example {@code "params."}
     */
    public static DecoderModel load(Path path, String prefix, Device device) throws IOException {
        try (var file = Safetensors.open(path)) {
            long[] embed_VxD = shape(path, file, prefix + of("embed"), 2);
            long[] positions_LxD = shape(path, file, prefix + of("pos_embed"), 2);
            long[] query_DxHxDh = shape(path, file, prefix + of("blocks.0.query"), 3);
            long[] up_DxF = shape(path, file, prefix + of("blocks.0.mlp_in"), 2);
            int blocks = 1;
            while (file.names().contains(prefix + of("blocks." + blocks + ".norm1"))) {
                blocks++;
            }
            TransformerConfig config = TransformerConfig.builder()
                    .V(Math.toIntExact(embed_VxD[0]))
                    .D(Math.toIntExact(embed_VxD[1]))
                    .L(Math.toIntExact(positions_LxD[0]))
                    .H(Math.toIntExact(query_DxHxDh[1]))
                    .F(Math.toIntExact(up_DxF[1]))
                    .N(blocks)
                    .build();
            return ModelFiles.load(
                    file, path, source -> new DecoderModel(config, device, source), device, name -> prefix + of(name));
        }
    }

    /**
     * Writes a new file of parameters under NanoDO's names.
     *
     * @param prefix of each name, for example {@code "params."}
     */
    public static void save(DecoderModel model, Path path, String prefix) throws IOException {
        try (var use = ModelUse.inference(model.parameters());
                var scope = Scope.open()) {
            var tensors = new LinkedHashMap<String, Tensor>();
            model.parameters().forEach(p -> tensors.put(prefix + of(p.name()), p.tensor()));
            Safetensors.write(path, tensors, Map.of());
        }
    }

    private static long[] shape(Path path, Safetensors file, String name, int dimensions) throws CorruptFileException {
        long[] shape = file.shape(name);
        if (shape.length != dimensions) {
            throw new CorruptFileException(
                    path,
                    "tensor \"" + name + "\" is " + Arrays.toString(shape) + ", it must have " + dimensions
                            + " dimensions");
        }
        return shape;
    }
}
