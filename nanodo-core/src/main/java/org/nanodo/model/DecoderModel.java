package org.nanodo.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.runtime.Device;

/** NanoDO's decoder-only Transformer, with learned positions, tied embeddings and no biases. */
public final class DecoderModel extends BlockModel {
    public static final String NAME = "nanodo";
    public static final double LAYER_NORM_EPS = 1e-6; // flax's

    private final Parameter embed_VxD;
    private final Parameter positions_LxD;
    private final Parameter outNorm_D;

    DecoderModel(TransformerConfig config, Device device, Init.Source source) {
        super(new ModelSpec(NAME, config), config, device, source);
        embed_VxD = parameter("embed", Init.normal(config.D()), config.V(), config.D());
        positions_LxD = parameter("pos_embed", Init.normal(config.D()), config.L(), config.D());
        addBlocks(i -> new Block("blocks." + i + "."));
        outNorm_D = parameter("out_norm", Init.ones(), config.D());
    }

    /** Creates a new model on the CPU. The same seed gives the same parameters on every device. */
    public static DecoderModel create(TransformerConfig config, long seed) {
        return create(config, seed, Device.cpu());
    }

    public static DecoderModel create(TransformerConfig config, long seed, Device device) {
        return new DecoderModel(config, device, Init.seeded(seed, device));
    }

    /** Reads a model that {@link #save} wrote, or one from a checkpoint's directory, onto the CPU. */
    public static DecoderModel load(Path directory) throws IOException {
        return load(directory, Device.cpu());
    }

    public static DecoderModel load(Path directory, Device device) throws IOException {
        return ModelFiles.load(directory, device, DecoderModel.class);
    }

    @Override
    public Tensor embed(Tensor y_BxL, ForwardPass pass) {
        Tensor y_BxLxD = Embedding.of(y_BxL, embed_VxD, true);
        return y_BxLxD.add(torch.embedding(positions_LxD.tensor(), pass.positions_BxL()));
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD, ForwardPass pass) {
        return layerNorm(y_BxLxD, outNorm_D);
    }

    @Override
    public Parameter outEmbed() {
        return embed_VxD; // tied
    }

    /** A pre-LayerNorm block: causal attention, then an MLP, each added to the residual stream, which is float32. */
    private final class Block extends BlockModel.Block {
        private final Parameter norm1_D;
        private final Parameter query_DxHxDh;
        private final Parameter key_DxHxDh;
        private final Parameter value_DxHxDh;
        private final Parameter out_HxDhxD;
        private final Parameter norm2_D;
        private final Parameter up_DxF;
        private final Parameter down_FxD;

        Block(String name) {
            long D = config.D();
            long H = config.H();
            long Dh = config.Dh();
            long F = config.F();
            norm1_D = parameter(name + "norm1", Init.ones(), D);
            query_DxHxDh = kernel(name + "query", Init.xavierUniform(D, D), D, H, Dh);
            key_DxHxDh = kernel(name + "key", Init.xavierUniform(D, D), D, H, Dh);
            value_DxHxDh = kernel(name + "value", Init.xavierUniform(D, D), D, H, Dh);
            out_HxDhxD = kernel(name + "attn_out", Init.xavierUniform(D, D), H, Dh, D);
            norm2_D = parameter(name + "norm2", Init.ones(), D);
            up_DxF = kernel(name + "mlp_in", Init.xavierUniform(D, F), D, F);
            down_FxD = kernel(name + "mlp_out", Init.xavierUniform(F, D), F, D);
        }

        @Override
        public Tensor forward(Tensor in_BxLxD, ForwardPass pass) {
            Tensor x_BxLxD = layerNorm(in_BxLxD, norm1_D); // "pre-layernorm"
            x_BxLxD = attend(x_BxLxD, pass).add(in_BxLxD);
            Tensor z_BxLxD = layerNorm(x_BxLxD, norm2_D);
            z_BxLxD = mlp(z_BxLxD);
            return x_BxLxD.add(z_BxLxD);
        }

        private Tensor attend(Tensor x_BxLxD, ForwardPass pass) {
            Tensor q_BxHxLxDh = heads(x_BxLxD, query_DxHxDh);
            Tensor k_BxHxLxDh = heads(x_BxLxD, key_DxHxDh);
            Tensor v_BxHxLxDh = heads(x_BxLxD, value_DxHxDh);
            Tensor out_BxHxLxDh = pass.attention().of(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh);
            Tensor out_BxLxD = out_BxHxLxDh.transpose(1, 2).flatten(2, 3);
            return Linear.of(out_BxLxD, out_HxDhxD.as(config.dtype()).flatten(0, 1));
        }

        private Tensor heads(Tensor x_BxLxD, Parameter kernel_DxHxDh) {
            Tensor x_BxLxHDh =
                    Linear.of(x_BxLxD, kernel_DxHxDh.as(config.dtype()).flatten(1, 2));
            return x_BxLxHDh
                    .view(x_BxLxD.size(0), x_BxLxD.size(1), config.H(), config.Dh())
                    .transpose(1, 2);
        }

        private Tensor mlp(Tensor x_BxLxD) {
            Tensor x_BxLxF = Linear.of(x_BxLxD, up_DxF.as(config.dtype()));
            x_BxLxF = torch.gelu(x_BxLxF, "tanh");
            return Linear.of(x_BxLxF, down_FxD.as(config.dtype()));
        }
    }

    /** Normalises in float32, with a scale but no bias, and returns the type of the computation. */
    private Tensor layerNorm(Tensor x_BxLxD, Parameter scale_D) {
        return torch.layer_norm(
                        x_BxLxD,
                        new long[] {config.D()},
                        new TensorOptional(scale_D.tensor()),
                        new TensorOptional(),
                        LAYER_NORM_EPS,
                        true)
                .to(config.dtype().scalarType());
    }

    /** Creates this model by name. */
    static final class Factory extends ModelFactory<TransformerConfig> {
        Factory() {
            super(NAME, TransformerConfig.class, Function.identity(), DecoderModel::new);
        }
    }
}
