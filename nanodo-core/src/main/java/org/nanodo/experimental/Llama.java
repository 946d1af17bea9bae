package org.nanodo.experimental;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.files.Json;
import org.nanodo.model.Attention;
import org.nanodo.model.Embedding;
import org.nanodo.model.Init;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Linear;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.ModelSpec;
import org.nanodo.model.Parameter;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Tensors;

/**
 * Llama (Touvron et al. 2023): RMSNorm, rotary positions, a SwiGLU MLP, and keys and values that several heads of queries
 * share. Parameters have Hugging Face's names and shapes: a weight is (out, in).
 */
public final class Llama implements LanguageModel {
    private static final String NAME = "llama";

    private final LlamaConfig own;
    private final TransformerConfig config;
    private final Device device;
    private final List<Parameter> parameters = new ArrayList<>();
    private final List<Block> blocks = new ArrayList<>();
    private final Parameter embed_VxD;
    private final Parameter outNorm_D;
    private final Parameter outEmbed_VxD;

    /** @param source gives the parameters' values, each when it is first used */
    public Llama(LlamaConfig config, Device device, Init.Source source) {
        this.own = config;
        this.config = config.sizes();
        this.device = device;
        long V = this.config.V();
        long D = this.config.D();
        embed_VxD = embedding(source, "model.embed_tokens.weight", V, D);
        for (int i = 0; i < this.config.N(); i++) {
            blocks.add(new Block(source, "model.layers." + i + "."));
        }
        outNorm_D = parameter(source, "model.norm.weight", Dtype.FLOAT32, Init.ones(), D);
        outEmbed_VxD = own.tied() ? embed_VxD : embedding(source, "lm_head.weight", V, D);
    }

    /** A new model on the CPU. The same seed gives the same parameters on every device. */
    public static Llama create(LlamaConfig config, long seed) {
        return create(config, seed, Device.cpu());
    }

    public static Llama create(LlamaConfig config, long seed, Device device) {
        return new Llama(config, device, Init.seeded(seed, device));
    }

    /** Positions come in later: attention depends on their differences. */
    @Override
    public Tensor embed(Tensor y_BxL, Tensor positions_BxL) {
        return Embedding.of(y_BxL, embed_VxD, own.tied());
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD) {
        return rmsNorm(y_BxLxD, outNorm_D);
    }

    @Override
    public Parameter outEmbed() {
        return outEmbed_VxD;
    }

    /** One pre-RMSNorm block: causal attention, then an MLP, each added to the residual stream, which is float32. */
    private final class Block implements LanguageModel.Block {
        private final List<Parameter> own;
        private final Parameter norm1_D;
        private final Parameter query_HDhxD;
        private final Parameter key_KDhxD;
        private final Parameter value_KDhxD;
        private final Parameter out_DxHDh;
        private final Parameter norm2_D;
        private final Parameter gate_FxD;
        private final Parameter up_FxD;
        private final Parameter down_DxF;

        Block(Init.Source source, String name) {
            long D = config.D();
            long F = config.F();
            long KDh = (long) Llama.this.own.kvHeads() * config.Dh();
            int before = parameters.size();
            norm1_D = parameter(source, name + "input_layernorm.weight", Dtype.FLOAT32, Init.ones(), D);
            query_HDhxD = matrix(source, name + "self_attn.q_proj.weight", D, D);
            key_KDhxD = matrix(source, name + "self_attn.k_proj.weight", KDh, D);
            value_KDhxD = matrix(source, name + "self_attn.v_proj.weight", KDh, D);
            out_DxHDh = matrix(source, name + "self_attn.o_proj.weight", D, D);
            norm2_D = parameter(source, name + "post_attention_layernorm.weight", Dtype.FLOAT32, Init.ones(), D);
            gate_FxD = matrix(source, name + "mlp.gate_proj.weight", F, D);
            up_FxD = matrix(source, name + "mlp.up_proj.weight", F, D);
            down_DxF = matrix(source, name + "mlp.down_proj.weight", D, F);
            own = List.copyOf(parameters.subList(before, parameters.size()));
        }

        @Override
        public List<Parameter> parameters() {
            return own;
        }

        @Override
        public Tensor forward(Tensor in_BxLxD, Attention attention) {
            Tensor x_BxLxD = rmsNorm(in_BxLxD, norm1_D);
            x_BxLxD = attend(x_BxLxD, attention).add(in_BxLxD);
            Tensor z_BxLxD = rmsNorm(x_BxLxD, norm2_D);
            z_BxLxD = mlp(z_BxLxD);
            return x_BxLxD.add(z_BxLxD);
        }

        private Tensor attend(Tensor x_BxLxD, Attention attention) {
            Tensor angles_Bx1xLxE = angles(attention.positions(device, x_BxLxD.size(1)));
            Tensor cos_Bx1xLxE = angles_Bx1xLxE.cos().to(ScalarType.Float);
            Tensor sin_Bx1xLxE = angles_Bx1xLxE.sin().to(ScalarType.Float);
            Tensor q_BxHxLxDh = turn(heads(x_BxLxD, query_HDhxD), cos_Bx1xLxE, sin_Bx1xLxE);
            Tensor k_BxKxLxDh = turn(heads(x_BxLxD, key_KDhxD), cos_Bx1xLxE, sin_Bx1xLxE);
            Tensor v_BxKxLxDh = heads(x_BxLxD, value_KDhxD);
            Tensor out_BxHxLxDh = attention.of(q_BxHxLxDh, k_BxKxLxDh, v_BxKxLxDh);
            return linear(out_BxHxLxDh.transpose(1, 2).flatten(2, 3), out_DxHDh);
        }

        private Tensor heads(Tensor x_BxLxD, Parameter weight_HDhxD) {
            return linear(x_BxLxD, weight_HDhxD)
                    .view(x_BxLxD.size(0), x_BxLxD.size(1), -1, config.Dh())
                    .transpose(1, 2);
        }

        /** SwiGLU (Shazeer 2020). */
        private Tensor mlp(Tensor x_BxLxD) {
            Tensor gate_BxLxF = torch.silu(linear(x_BxLxD, gate_FxD));
            return linear(gate_BxLxF.mul(linear(x_BxLxD, up_FxD)), down_DxF);
        }
    }

    /**
     * By how much RoPE (Su et al. 2021) turns the E = Dh / 2 pairs of a head at each position: position · θ^(-e / E). In
     * float64, since float32 has few digits left for a distant position's fraction of a turn.
     */
    private Tensor angles(Tensor positions_BxL) {
        long E = config.Dh() / 2;
        Tensor frequencies_E = Tensors.range(device, E)
                .to(ScalarType.Double)
                .mul(new Scalar(-Math.log(own.ropeTheta()) / E))
                .exp();
        return positions_BxL.unsqueeze(1).unsqueeze(3).mul(frequencies_E);
    }

    /** Turns each head's pairs, which are two numbers E apart, Hugging Face's way: Meta's own weights have them side by side. */
    private Tensor turn(Tensor x_BxHxLxDh, Tensor cos_Bx1xLxE, Tensor sin_Bx1xLxE) {
        long E = config.Dh() / 2;
        Tensor a_BxHxLxE = x_BxHxLxDh.narrow(3, 0, E);
        Tensor b_BxHxLxE = x_BxHxLxDh.narrow(3, E, E);
        var turned = new TensorVector(
                a_BxHxLxE.mul(cos_Bx1xLxE).sub(b_BxHxLxE.mul(sin_Bx1xLxE)),
                b_BxHxLxE.mul(cos_Bx1xLxE).add(a_BxHxLxE.mul(sin_Bx1xLxE)));
        return torch.cat(turned, 3).to(config.dtype().scalarType());
    }

    /** Normalises in float32 (Zhang and Sennrich 2019) and returns the type of the computation. */
    private Tensor rmsNorm(Tensor x_BxLxD, Parameter scale_D) {
        return torch.rms_norm(
                        x_BxLxD,
                        new long[] {config.D()},
                        new TensorOptional(scale_D.tensor()),
                        new DoubleOptional(own.eps()))
                .to(config.dtype().scalarType());
    }

    private Tensor linear(Tensor x_BxLxM, Parameter weight_NxM) {
        return Linear.of(x_BxLxM, weight_NxM.as(config.dtype()).t());
    }

    private Parameter embedding(Init.Source source, String name, long V, long D) {
        return parameter(source, name, Dtype.FLOAT32, Init.gaussian(0.02), V, D);
    }

    private Parameter matrix(Init.Source source, String name, long rows, long columns) {
        return parameter(source, name, config.dtype(), Init.gaussian(0.02), rows, columns);
    }

    /** @param dtype that it is read in */
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
        return new ModelSpec(NAME, own);
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
    public static final class Factory implements ModelFactory {
        @Override
        public String name() {
            return NAME;
        }

        @Override
        public LanguageModel create(TransformerConfig sizes, Device device, Init.Source parameters) {
            return new Llama(LlamaConfig.of(sizes), device, parameters);
        }

        @Override
        public LanguageModel create(String config, Device device, Init.Source parameters) {
            return new Llama(Json.read(config, LlamaConfig.class), device, parameters);
        }
    }
}
