package org.nanodo.experimental;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.model.BlockModel;
import org.nanodo.model.Embedding;
import org.nanodo.model.ForwardPass;
import org.nanodo.model.Init;
import org.nanodo.model.Linear;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.ModelSpec;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;

/**
 * Llama (Touvron et al. 2023), with RMSNorm, rotary positions, a SwiGLU MLP, and key and value heads that several query heads
 * share. Parameters have Hugging Face's names and shapes: a weight is (out, in).
 */
public final class Llama extends BlockModel {
    private static final String NAME = "llama";

    private static final Init INIT = Init.gaussian(0.02);

    private final LlamaConfig own;
    private final Parameter embed_VxD;
    private final Parameter outNorm_D;
    private final Parameter outEmbed_VxD;

    /** @param source provides each parameter's values when the parameter is first used */
    public Llama(LlamaConfig own, Device device, Init.Source source) {
        super(new ModelSpec(NAME, own), own.sizes(), device, source);
        this.own = own;
        embed_VxD = parameter("model.embed_tokens.weight", INIT, config.V(), config.D());
        addBlocks(i -> new Block("model.layers." + i + "."));
        outNorm_D = parameter("model.norm.weight", Init.ones(), config.D());
        outEmbed_VxD = own.tied() ? embed_VxD : parameter("lm_head.weight", INIT, config.V(), config.D());
    }

    /** Creates a new model on the CPU. The same seed gives the same parameters on every device. */
    public static Llama create(LlamaConfig config, long seed) {
        return create(config, seed, Device.cpu());
    }

    public static Llama create(LlamaConfig config, long seed, Device device) {
        return new Llama(config, device, Init.seeded(seed, device));
    }

    /** Ignores the positions, which enter in attention: it depends on their differences. */
    @Override
    public Tensor embed(Tensor y_BxL, ForwardPass pass) {
        return Embedding.of(y_BxL, embed_VxD, own.tied());
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD, ForwardPass pass) {
        return rmsNorm(y_BxLxD, outNorm_D);
    }

    @Override
    public Parameter outEmbed() {
        return outEmbed_VxD;
    }

    /** A pre-RMSNorm block: causal attention, then an MLP, each added to the residual stream, which is float32. */
    private final class Block extends BlockModel.Block {
        private final Parameter norm1_D;
        private final Parameter query_HDhxD;
        private final Parameter key_KDhxD;
        private final Parameter value_KDhxD;
        private final Parameter out_DxHDh;
        private final Parameter norm2_D;
        private final Parameter gate_FxD;
        private final Parameter up_FxD;
        private final Parameter down_DxF;

        Block(String name) {
            long D = config.D();
            long F = config.F();
            long KDh = (long) own.kvHeads() * config.Dh();
            norm1_D = parameter(name + "input_layernorm.weight", Init.ones(), D);
            query_HDhxD = kernel(name + "self_attn.q_proj.weight", INIT, D, D);
            key_KDhxD = kernel(name + "self_attn.k_proj.weight", INIT, KDh, D);
            value_KDhxD = kernel(name + "self_attn.v_proj.weight", INIT, KDh, D);
            out_DxHDh = kernel(name + "self_attn.o_proj.weight", INIT, D, D);
            norm2_D = parameter(name + "post_attention_layernorm.weight", Init.ones(), D);
            gate_FxD = kernel(name + "mlp.gate_proj.weight", INIT, F, D);
            up_FxD = kernel(name + "mlp.up_proj.weight", INIT, F, D);
            down_DxF = kernel(name + "mlp.down_proj.weight", INIT, D, F);
        }

        @Override
        public Tensor forward(Tensor in_BxLxD, ForwardPass pass) {
            Tensor x_BxLxD = rmsNorm(in_BxLxD, norm1_D);
            x_BxLxD = attend(x_BxLxD, pass).add(in_BxLxD);
            Tensor z_BxLxD = rmsNorm(x_BxLxD, norm2_D);
            z_BxLxD = mlp(z_BxLxD);
            return x_BxLxD.add(z_BxLxD);
        }

        private Tensor attend(Tensor x_BxLxD, ForwardPass pass) {
            Tensor angles_Bx1xLxE = angles(pass.positions_BxL());
            Tensor cos_Bx1xLxE = angles_Bx1xLxE.cos().to(ScalarType.Float);
            Tensor sin_Bx1xLxE = angles_Bx1xLxE.sin().to(ScalarType.Float);
            Tensor q_BxHxLxDh = rotate(heads(x_BxLxD, query_HDhxD), cos_Bx1xLxE, sin_Bx1xLxE);
            Tensor k_BxKxLxDh = rotate(heads(x_BxLxD, key_KDhxD), cos_Bx1xLxE, sin_Bx1xLxE);
            Tensor v_BxKxLxDh = heads(x_BxLxD, value_KDhxD);
            Tensor out_BxHxLxDh = pass.attention().of(q_BxHxLxDh, k_BxKxLxDh, v_BxKxLxDh);
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
     * Returns the angles by which RoPE (Su et al. 2021) rotates the E = Dh / 2 pairs of a head: position · θ^(-e / E). They are
     * float64, since float32 has few digits left for a distant position's fraction of a rotation.
     */
    private Tensor angles(Tensor positions_BxL) {
        long E = config.Dh() / 2;
        Tensor frequencies_E = Tensors.range(device, E)
                .to(ScalarType.Double)
                .mul(new Scalar(-Math.log(own.ropeTheta()) / E))
                .exp();
        return positions_BxL.unsqueeze(1).unsqueeze(3).mul(frequencies_E);
    }

    /** Rotates each head's pairs, whose numbers are E apart as in Hugging Face's weights; in Meta's they are adjacent. */
    private Tensor rotate(Tensor x_BxHxLxDh, Tensor cos_Bx1xLxE, Tensor sin_Bx1xLxE) {
        long E = config.Dh() / 2;
        Tensor a_BxHxLxE = x_BxHxLxDh.narrow(3, 0, E);
        Tensor b_BxHxLxE = x_BxHxLxDh.narrow(3, E, E);
        var rotated = new TensorVector(
                a_BxHxLxE.mul(cos_Bx1xLxE).sub(b_BxHxLxE.mul(sin_Bx1xLxE)),
                b_BxHxLxE.mul(cos_Bx1xLxE).add(a_BxHxLxE.mul(sin_Bx1xLxE)));
        return torch.cat(rotated, 3).to(config.dtype().scalarType());
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

    /** Creates this model by name. */
    public static final class Factory extends ModelFactory<LlamaConfig> {
        public Factory() {
            super(NAME, LlamaConfig.class, LlamaConfig::of, Llama::new);
        }
    }
}
