package org.nanodo.experimental;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
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

/**
 * GPT-2 (Radford et al. 2019): the default model with biases, one matrix for queries, keys and values, and an initialisation
 * of its own. Parameters have Hugging Face's names and shapes.
 */
public final class Gpt2 implements LanguageModel {
    private static final String NAME = "gpt2";

    /** @param eps added to the variance by which is normalised; null for GPT-2's 1e-5 */
    public record Config(@JsonProperty(required = true) TransformerConfig sizes, Double eps) {
        public Config {
            eps = eps == null ? 1e-5 : eps;
            if (!(eps > 0)) {
                throw new IllegalArgumentException("eps is " + eps + ", it has to be positive");
            }
        }
    }

    private final Config own;
    private final TransformerConfig config;
    private final Device device;
    private final List<Parameter> parameters = new ArrayList<>();
    private final List<Block> blocks = new ArrayList<>();
    private final Parameter embed_VxD;
    private final Parameter positions_LxD;
    private final Norm outNorm;

    /** @param source gives the parameters' values, each when it is first used */
    public Gpt2(Config config, Device device, Init.Source source) {
        this.own = config;
        this.config = config.sizes();
        this.device = device;
        long D = this.config.D();
        embed_VxD = parameter(source, "transformer.wte.weight", Dtype.FLOAT32, Init.gaussian(0.02), this.config.V(), D);
        positions_LxD =
                parameter(source, "transformer.wpe.weight", Dtype.FLOAT32, Init.gaussian(0.02), this.config.L(), D);
        for (int i = 0; i < this.config.N(); i++) {
            blocks.add(new Block(source, "transformer.h." + i + "."));
        }
        outNorm = new Norm(source, "transformer.ln_f");
    }

    /** A new model on the CPU. The same seed gives the same parameters on every device. */
    public static Gpt2 create(Config config, long seed) {
        return create(config, seed, Device.cpu());
    }

    public static Gpt2 create(Config config, long seed, Device device) {
        return new Gpt2(config, device, Init.seeded(seed, device));
    }

    @Override
    public Tensor embed(Tensor y_BxL, Tensor positions_BxL) {
        Tensor y_BxLxD = Embedding.of(y_BxL, embed_VxD, true);
        return y_BxLxD.add(torch.embedding(positions_LxD.tensor(), positions_BxL));
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD) {
        return outNorm.of(y_BxLxD);
    }

    @Override
    public Parameter outEmbed() {
        return embed_VxD; // tied
    }

    /** One pre-LayerNorm block: causal attention, then an MLP, each added to the residual stream, which is float32. */
    private final class Block implements LanguageModel.Block {
        private final List<Parameter> own;
        private final Norm norm1;
        private final Layer queryKeyValue;
        private final Layer out;
        private final Norm norm2;
        private final Layer up;
        private final Layer down;

        Block(Init.Source source, String name) {
            int D = config.D();
            int F = config.F();
            double intoStream = 0.02 / Math.sqrt(2 * config.N()); // so that N blocks add up to the same variance
            int before = parameters.size();
            norm1 = new Norm(source, name + "ln_1");
            queryKeyValue = new Layer(source, name + "attn.c_attn", 0.02, D, 3 * D);
            out = new Layer(source, name + "attn.c_proj", intoStream, D, D);
            norm2 = new Norm(source, name + "ln_2");
            up = new Layer(source, name + "mlp.c_fc", 0.02, D, F);
            down = new Layer(source, name + "mlp.c_proj", intoStream, F, D);
            own = List.copyOf(parameters.subList(before, parameters.size()));
        }

        @Override
        public List<Parameter> parameters() {
            return own;
        }

        @Override
        public Tensor forward(Tensor in_BxLxD, Attention attention) {
            Tensor x_BxLxD = attend(norm1.of(in_BxLxD), attention).add(in_BxLxD);
            Tensor z_BxLxF = torch.gelu(up.of(norm2.of(x_BxLxD)), "tanh");
            return x_BxLxD.add(down.of(z_BxLxF));
        }

        private Tensor attend(Tensor x_BxLxD, Attention attention) {
            Tensor qkv_BxLx3D = queryKeyValue.of(x_BxLxD);
            Tensor out_BxHxLxDh = attention.of(heads(qkv_BxLx3D, 0), heads(qkv_BxLx3D, 1), heads(qkv_BxLx3D, 2));
            return out.of(out_BxHxLxDh.transpose(1, 2).flatten(2, 3));
        }

        private Tensor heads(Tensor qkv_BxLx3D, long third) {
            Tensor x_BxLxD = qkv_BxLx3D.narrow(2, third * config.D(), config.D());
            return x_BxLxD.view(x_BxLxD.size(0), x_BxLxD.size(1), config.H(), config.Dh())
                    .transpose(1, 2);
        }
    }

    /** x W + b. */
    private final class Layer {
        private final Parameter weight_MxN;
        private final Parameter bias_N;

        Layer(Init.Source source, String name, double deviation, long M, long N) {
            weight_MxN = parameter(source, name + ".weight", config.dtype(), Init.gaussian(deviation), M, N);
            bias_N = parameter(source, name + ".bias", config.dtype(), Init.zeros(), N);
        }

        Tensor of(Tensor x_BxLxM) {
            return Linear.of(x_BxLxM, weight_MxN.as(config.dtype())).add(bias_N.as(config.dtype()));
        }
    }

    /** Normalises in float32 and returns the type of the computation. */
    private final class Norm {
        private final Parameter scale_D;
        private final Parameter bias_D;

        Norm(Init.Source source, String name) {
            scale_D = parameter(source, name + ".weight", Dtype.FLOAT32, Init.ones(), config.D());
            bias_D = parameter(source, name + ".bias", Dtype.FLOAT32, Init.zeros(), config.D());
        }

        Tensor of(Tensor x_BxLxD) {
            return torch.layer_norm(
                            x_BxLxD,
                            new long[] {config.D()},
                            new TensorOptional(scale_D.tensor()),
                            new TensorOptional(bias_D.tensor()),
                            own.eps(),
                            true)
                    .to(config.dtype().scalarType());
        }
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
            return new Gpt2(new Config(sizes, null), device, parameters);
        }

        @Override
        public LanguageModel create(String config, Device device, Init.Source parameters) {
            return new Gpt2(Json.read(config, Config.class), device, parameters);
        }
    }
}
