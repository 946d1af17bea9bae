package org.nanodo.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;

/** Transformer decoder-only model: NanoDO's, with learned positions, tied embeddings and no biases. */
public final class DecoderModel implements LanguageModel {
    public static final String NAME = "nanodo";
    public static final double LAYER_NORM_EPS = 1e-6; // flax's

    private final TransformerConfig config;
    private final Device device;
    private final List<Parameter> parameters = new ArrayList<>();
    private final List<Block> blocks = new ArrayList<>();
    private final Parameter embed_VxD;
    private final Parameter positions_LxD;
    private final Parameter outNorm_D;

    DecoderModel(TransformerConfig config, Device device, Init.Source source) {
        this.config = config;
        this.device = device;
        embed_VxD = parameter(source, "embed", Init.normal(config.D()), config.V(), config.D());
        positions_LxD = parameter(source, "pos_embed", Init.normal(config.D()), config.L(), config.D());
        for (int i = 0; i < config.N(); i++) {
            blocks.add(new Block(source, "blocks." + i + "."));
        }
        outNorm_D = parameter(source, "out_norm", Init.ones(), config.D());
    }

    /**
     * A new model on the CPU. The same seed gives the same parameters on every device. Each comes into being when it is first
     * used.
     */
    public static DecoderModel create(TransformerConfig config, long seed) {
        return create(config, seed, Device.cpu());
    }

    public static DecoderModel create(TransformerConfig config, long seed, Device device) {
        return new DecoderModel(config, device, Init.seeded(seed, device));
    }

    /** Reads what {@link #save} wrote, or a checkpoint's folder, onto the CPU. */
    public static DecoderModel load(Path directory) throws IOException {
        return load(directory, Device.cpu());
    }

    public static DecoderModel load(Path directory, Device device) throws IOException {
        return ModelFiles.load(directory, device, DecoderModel.class);
    }

    @Override
    public Tensor embed(Tensor y_BxL, Tensor positions_BxL) {
        Tensor y_BxLxD = Embedding.of(y_BxL, embed_VxD, true);
        return y_BxLxD.add(torch.embedding(positions_LxD.tensor(), positions_BxL));
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD) {
        return layerNorm(y_BxLxD, outNorm_D);
    }

    @Override
    public Parameter outEmbed() {
        return embed_VxD; // tied
    }

    /** One pre-LayerNorm block: causal attention, then an MLP, each added to the residual stream, which is float32. */
    private final class Block implements LanguageModel.Block {
        private final List<Parameter> own;
        private final Parameter norm1_D;
        private final Parameter query_DxHxDh;
        private final Parameter key_DxHxDh;
        private final Parameter value_DxHxDh;
        private final Parameter out_HxDhxD;
        private final Parameter norm2_D;
        private final Parameter up_DxF;
        private final Parameter down_FxD;

        Block(Init.Source source, String name) {
            long D = config.D();
            long H = config.H();
            long Dh = config.Dh();
            long F = config.F();
            int before = parameters.size();
            norm1_D = parameter(source, name + "norm1", Init.ones(), D);
            query_DxHxDh = kernel(source, name + "query", Init.xavierUniform(D, D), D, H, Dh);
            key_DxHxDh = kernel(source, name + "key", Init.xavierUniform(D, D), D, H, Dh);
            value_DxHxDh = kernel(source, name + "value", Init.xavierUniform(D, D), D, H, Dh);
            out_HxDhxD = kernel(source, name + "attn_out", Init.xavierUniform(D, D), H, Dh, D);
            norm2_D = parameter(source, name + "norm2", Init.ones(), D);
            up_DxF = kernel(source, name + "mlp_in", Init.xavierUniform(D, F), D, F);
            down_FxD = kernel(source, name + "mlp_out", Init.xavierUniform(F, D), F, D);
            own = List.copyOf(parameters.subList(before, parameters.size()));
        }

        @Override
        public List<Parameter> parameters() {
            return own;
        }

        @Override
        public Tensor forward(Tensor in_BxLxD, Attention attention) {
            Tensor x_BxLxD = layerNorm(in_BxLxD, norm1_D); // "pre-layernorm"
            x_BxLxD = attend(x_BxLxD, attention).add(in_BxLxD);
            Tensor z_BxLxD = layerNorm(x_BxLxD, norm2_D);
            z_BxLxD = mlp(z_BxLxD);
            return x_BxLxD.add(z_BxLxD);
        }

        private Tensor attend(Tensor x_BxLxD, Attention attention) {
            Tensor q_BxHxLxDh = heads(x_BxLxD, query_DxHxDh);
            Tensor k_BxHxLxDh = heads(x_BxLxD, key_DxHxDh);
            Tensor v_BxHxLxDh = heads(x_BxLxD, value_DxHxDh);
            Tensor out_BxHxLxDh = attention.of(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh);
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

    /** One that is read in float32. */
    private Parameter parameter(Init.Source source, String name, Init init, long... shape) {
        return parameter(source, name, Dtype.FLOAT32, init, shape);
    }

    /** One that is read in the type of the computation. */
    private Parameter kernel(Init.Source source, String name, Init init, long... shape) {
        return parameter(source, name, config.dtype(), init, shape);
    }

    private Parameter parameter(Init.Source source, String name, Dtype dtype, Init init, long... shape) {
        var parameter = new Parameter(name, shape, dtype, () -> source.get(name, init, shape));
        parameters.add(parameter);
        return parameter;
    }

    @Override
    public TransformerConfig config() {
        return config;
    }

    @Override
    public ModelSpec spec() {
        return new ModelSpec(NAME, config);
    }

    @Override
    public Device device() {
        return device;
    }

    @Override
    public List<Parameter> parameters() {
        return Collections.unmodifiableList(parameters);
    }

    @Override
    public List<? extends LanguageModel.Block> blocks() {
        return Collections.unmodifiableList(blocks);
    }

    /** Makes it by name. */
    static final class Factory implements ModelFactory {
        @Override
        public String name() {
            return NAME;
        }

        @Override
        public LanguageModel create(TransformerConfig sizes, Device device, Init.Source parameters) {
            return new DecoderModel(sizes, device, parameters);
        }

        @Override
        public LanguageModel create(String config, Device device, Init.Source parameters) {
            return create(TransformerConfig.fromJson(config), device, parameters);
        }
    }
}
