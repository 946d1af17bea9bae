package org.nanodo.train;

import java.util.function.Function;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
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
 * A model that uses all that a forward pass offers: blocks share one set of weights (ALBERT), read the values of the first one
 * (value residual) and the embedding (x0 skip), drop out, add losses, and leave skips to the head. Each block has a norm of its
 * own.
 */
public final class SeamModel extends BlockModel {
    public static final String NAME = "seam";
    private static final double DROPOUT = 0.2;

    private final Parameter embed_VxD;
    private final Parameter head_VxD;
    private final Shared shared = new Shared();

    public SeamModel(TransformerConfig config, Device device, Init.Source source) {
        super(new ModelSpec(NAME, config), config, device, source);
        embed_VxD = parameter("embed", Init.normal(config.D()), config.V(), config.D());
        addBlocks(i -> new Layer(i));
        head_VxD = parameter("head", Init.normal(config.D()), config.V(), config.D());
    }

    public static SeamModel create(TransformerConfig config, long seed) {
        return new SeamModel(config, Device.cpu(), Init.seeded(seed, Device.cpu()));
    }

    @Override
    public Tensor embed(Tensor y_BxL, ForwardPass pass) {
        Tensor x_BxLxD = pass.dropout(Embedding.of(y_BxL, embed_VxD, false), DROPOUT);
        pass.put("x0", x_BxLxD);
        return x_BxLxD;
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD, ForwardPass pass) {
        return y_BxLxD.add(pass.get("skip").mul(new Scalar(0.3)));
    }

    @Override
    public Parameter outEmbed() {
        return head_VxD;
    }

    @Override
    public Tensor logits(Tensor products_TxV) {
        return products_TxV.div(new Scalar(3)).tanh().mul(new Scalar(3));
    }

    /** The weights that all layers share; the first one's constructor creates them. */
    private final class Shared {
        private Parameter qkv_Dx3D;
        private Parameter out_DxD;
    }

    private final class Layer extends BlockModel.Block {
        private final int index;
        private final Parameter scale_D;

        Layer(int index) {
            this.index = index;
            int D = config.D();
            scale_D = parameter("blocks." + index + ".scale", Init.ones(), D);
            if (index == 0) {
                shared.qkv_Dx3D = kernel("shared.qkv", Init.xavierUniform(D, D), D, 3 * D);
                shared.out_DxD = kernel("shared.out", Init.xavierUniform(D, D), D, D);
            } else {
                share(shared.qkv_Dx3D);
                share(shared.out_DxD);
            }
        }

        @Override
        public Tensor forward(Tensor in_BxLxD, ForwardPass pass) {
            Tensor x_BxLxD = in_BxLxD.mul(scale_D.tensor()).to(config.dtype().scalarType());
            Tensor qkv_3xBxHxLxDh = Linear.of(x_BxLxD, shared.qkv_Dx3D.as(config.dtype()))
                    .view(x_BxLxD.size(0), x_BxLxD.size(1), 3, config.H(), config.Dh())
                    .permute(2, 0, 3, 1, 4);
            Tensor v_BxHxLxDh = qkv_3xBxHxLxDh.select(0, 2);
            if (index == 0) {
                pass.put("v0", v_BxHxLxDh.transpose(1, 2));
            } else {
                v_BxHxLxDh = v_BxHxLxDh.add(pass.get("v0").transpose(1, 2));
            }
            Tensor out_BxHxLxDh =
                    pass.attention().of(qkv_3xBxHxLxDh.select(0, 0), qkv_3xBxHxLxDh.select(0, 1), v_BxHxLxDh);
            Tensor out_BxLxD = Linear.of(out_BxHxLxDh.transpose(1, 2).flatten(2, 3), shared.out_DxD.as(config.dtype()));
            out_BxLxD = pass.dropout(out_BxLxD, DROPOUT);
            pass.loss(
                    "aux",
                    out_BxLxD.square().mean(-1).mul(pass.weights_BxL()).sum().mul(new Scalar(0.1)));
            pass.put("skip", torch.tanh(out_BxLxD)); // each block's replaces the one before
            return in_BxLxD.add(out_BxLxD).add(pass.get("x0").mul(new Scalar(0.5)));
        }
    }

    public static final class Factory extends ModelFactory<TransformerConfig> {
        public Factory() {
            super(NAME, TransformerConfig.class, Function.identity(), SeamModel::new);
        }
    }
}
