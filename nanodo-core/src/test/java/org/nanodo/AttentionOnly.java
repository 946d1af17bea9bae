package org.nanodo;

import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;
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

/** A Transformer of attention alone: no MLP, no normalisation, no positions. */
public final class AttentionOnly extends BlockModel {
    private final Parameter embed_VxD;

    public AttentionOnly(TransformerConfig config, Device device, Init.Source source) {
        super(new ModelSpec("attention-only", config), config, device, source);
        embed_VxD = parameter("embed", Init.normal(config.D()), config.V(), config.D());
        addBlocks(i -> new Block("blocks." + i + "."));
    }

    @Override
    public Tensor embed(Tensor y_BxL, ForwardPass pass) {
        return Embedding.of(y_BxL, embed_VxD, true);
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD, ForwardPass pass) {
        return y_BxLxD.to(config.dtype().scalarType());
    }

    @Override
    public Parameter outEmbed() {
        return embed_VxD; // tied
    }

    private final class Block extends BlockModel.Block {
        private final Parameter queryKeyValue_Dx3D;
        private final Parameter out_DxD;

        Block(String name) {
            int D = config.D();
            queryKeyValue_Dx3D = kernel(name + "qkv", Init.xavierUniform(D, D), D, 3 * D);
            out_DxD = kernel(name + "out", Init.xavierUniform(D, D), D, D);
        }

        @Override
        public Tensor forward(Tensor x_BxLxD, ForwardPass pass) {
            Tensor in_BxLxD = x_BxLxD.to(config.dtype().scalarType());
            Tensor qkv_3xBxHxLxDh = Linear.of(in_BxLxD, queryKeyValue_Dx3D.as(config.dtype()))
                    .view(in_BxLxD.size(0), in_BxLxD.size(1), 3, config.H(), config.Dh())
                    .permute(2, 0, 3, 1, 4);
            Tensor out_BxHxLxDh = pass.attention()
                    .of(qkv_3xBxHxLxDh.select(0, 0), qkv_3xBxHxLxDh.select(0, 1), qkv_3xBxHxLxDh.select(0, 2));
            Tensor out_BxLxD = out_BxHxLxDh.transpose(1, 2).flatten(2, 3);
            return x_BxLxD.add(Linear.of(out_BxLxD, out_DxD.as(config.dtype())));
        }
    }

    public static final class Factory extends ModelFactory<TransformerConfig> {
        public Factory() {
            super("attention-only", TransformerConfig.class, Function.identity(), AttentionOnly::new);
        }
    }
}
