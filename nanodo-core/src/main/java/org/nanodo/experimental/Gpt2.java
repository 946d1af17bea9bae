package org.nanodo.experimental;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.model.BlockModel;
import org.nanodo.model.Embedding;
import org.nanodo.model.ForwardPass;
import org.nanodo.model.Init;
import org.nanodo.model.Linear;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.ModelSpec;
import org.nanodo.model.Parameter;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;

/**
 * GPT-2 (Radford et al. 2019): the default model with biases, one matrix for queries, keys and values, and an initialisation
 * of its own. Parameters have Hugging Face's names and shapes.
 */
public final class Gpt2 extends BlockModel {
    private static final String NAME = "gpt2";

    /** @param eps what LayerNorm adds to the variance; null for {@link #EPS} */
    public record Config(@JsonProperty(required = true) TransformerConfig sizes, Double eps) {
        public static final double EPS = 1e-5;

        public Config {
            eps = eps == null ? EPS : eps;
            if (!(eps > 0)) {
                throw new IllegalArgumentException("eps is " + eps + ", it must be positive");
            }
        }

        /** Returns GPT-2's config for the given sizes. */
        public static Config of(TransformerConfig sizes) {
            return new Config(sizes, EPS);
        }

        public Config eps(double eps) {
            return new Config(sizes, eps);
        }
    }

    private final double eps;
    private final Parameter embed_VxD;
    private final Parameter positions_LxD;
    private final Norm outNorm;

    /** @param source provides each parameter's values when the parameter is first used */
    public Gpt2(Config own, Device device, Init.Source source) {
        super(new ModelSpec(NAME, own), own.sizes(), device, source);
        eps = own.eps();
        embed_VxD = parameter("transformer.wte.weight", Init.gaussian(0.02), config.V(), config.D());
        positions_LxD = parameter("transformer.wpe.weight", Init.gaussian(0.02), config.L(), config.D());
        addBlocks(i -> new Block("transformer.h." + i + "."));
        outNorm = new Norm("transformer.ln_f");
    }

    /** Creates a new model on the CPU. The same seed gives the same parameters on every device. */
    public static Gpt2 create(Config config, long seed) {
        return create(config, seed, Device.cpu());
    }

    public static Gpt2 create(Config config, long seed, Device device) {
        return new Gpt2(config, device, Init.seeded(seed, device));
    }

    @Override
    public Tensor embed(Tensor y_BxL, ForwardPass pass) {
        Tensor y_BxLxD = Embedding.of(y_BxL, embed_VxD, true);
        return y_BxLxD.add(torch.embedding(positions_LxD.tensor(), pass.positions_BxL()));
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD, ForwardPass pass) {
        return outNorm.of(y_BxLxD);
    }

    @Override
    public Parameter outEmbed() {
        return embed_VxD; // tied
    }

    /** A pre-LayerNorm block: causal attention, then an MLP, each added to the residual stream, which is float32. */
    private final class Block extends BlockModel.Block {
        private final Norm norm1;
        private final Layer queryKeyValue;
        private final Layer out;
        private final Norm norm2;
        private final Layer up;
        private final Layer down;

        Block(String name) {
            int D = config.D();
            int F = config.F();
            double intoStream = 0.02 / Math.sqrt(2 * config.N()); // so that N blocks add up to the same variance
            norm1 = new Norm(name + "ln_1");
            queryKeyValue = new Layer(name + "attn.c_attn", 0.02, D, 3 * D);
            out = new Layer(name + "attn.c_proj", intoStream, D, D);
            norm2 = new Norm(name + "ln_2");
            up = new Layer(name + "mlp.c_fc", 0.02, D, F);
            down = new Layer(name + "mlp.c_proj", intoStream, F, D);
        }

        @Override
        public Tensor forward(Tensor in_BxLxD, ForwardPass pass) {
            Tensor x_BxLxD = attend(norm1.of(in_BxLxD), pass).add(in_BxLxD);
            Tensor z_BxLxF = torch.gelu(up.of(norm2.of(x_BxLxD)), "tanh");
            return x_BxLxD.add(down.of(z_BxLxF));
        }

        private Tensor attend(Tensor x_BxLxD, ForwardPass pass) {
            Tensor qkv_BxLx3D = queryKeyValue.of(x_BxLxD);
            Tensor out_BxHxLxDh = pass.attention().of(heads(qkv_BxLx3D, 0), heads(qkv_BxLx3D, 1), heads(qkv_BxLx3D, 2));
            return out.of(out_BxHxLxDh.transpose(1, 2).flatten(2, 3));
        }

        private Tensor heads(Tensor qkv_BxLx3D, long third) {
            Tensor x_BxLxD = qkv_BxLx3D.narrow(2, third * config.D(), config.D());
            return x_BxLxD.view(x_BxLxD.size(0), x_BxLxD.size(1), config.H(), config.Dh())
                    .transpose(1, 2);
        }
    }

    /** A linear layer, x W + b. */
    private final class Layer {
        private final Parameter weight_MxN;
        private final Parameter bias_N;

        Layer(String name, double deviation, long M, long N) {
            weight_MxN = kernel(name + ".weight", Init.gaussian(deviation), M, N);
            bias_N = kernel(name + ".bias", Init.zeros(), N);
        }

        Tensor of(Tensor x_BxLxM) {
            return Linear.of(x_BxLxM, weight_MxN.as(config.dtype())).add(bias_N.as(config.dtype()));
        }
    }

    /** LayerNorm in float32, whose result has the type of the computation. */
    private final class Norm {
        private final Parameter scale_D;
        private final Parameter bias_D;

        Norm(String name) {
            scale_D = parameter(name + ".weight", Init.ones(), config.D());
            bias_D = parameter(name + ".bias", Init.zeros(), config.D());
        }

        Tensor of(Tensor x_BxLxD) {
            return torch.layer_norm(
                            x_BxLxD,
                            new long[] {config.D()},
                            new TensorOptional(scale_D.tensor()),
                            new TensorOptional(bias_D.tensor()),
                            eps,
                            true)
                    .to(config.dtype().scalarType());
        }
    }

    /** Creates this model by name. */
    public static final class Factory extends ModelFactory<Config> {
        public Factory() {
            super(NAME, Config.class, Config::of, Gpt2::new);
        }
    }
}
