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

/** NanoDO's own (flax) parameter names. The shapes are the same as ours, so weights pass over as they are. */
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

    /** The flax name, its path joined by dots, of a parameter of ours: {@code blocks.0.norm1}, say. */
    public static String of(String name) {
        String[] path = name.split("\\.");
        return path.length == 1 ? OUTSIDE.get(name) : "blocks_" + path[1] + "." + IN_BLOCK.get(path[2]);
    }

    /** The same path joined by slashes, as the original's optimizer options match it; empty for a parameter of other models. */
    public static String path(String name) {
        String[] parts = name.split("\\.");
        boolean known = parts.length == 1
                ? OUTSIDE.containsKey(name)
                : parts.length == 3 && parts[0].equals("blocks") && IN_BLOCK.containsKey(parts[2]);
        return known ? of(name).replace('.', '/') : "";
    }

    /**
     * Reads a model that was trained with the original and exported to safetensors. The shapes give the config.
     *
     * @param prefix what stands before each name in the file, {@code "params."}, say
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
     * Writes a new file of parameters under the original's names.
     *
     * @param prefix what stands before each name, {@code "params."}, say
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
                    "tensor \"" + name + "\" is " + Arrays.toString(shape) + ", not of " + dimensions + " dimensions");
        }
        return shape;
    }
}
