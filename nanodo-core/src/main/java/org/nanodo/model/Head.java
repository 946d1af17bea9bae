package org.nanodo.model;

import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Tensors;

/**
 * The product with the output embedding, whose result is float32. A bfloat16 model on the CPU multiplies float32 values, as
 * NanoDO does: rounding the embedding changes the loss more than all other rounding. On a GPU, where that product would take many
 * times as long, it multiplies bfloat16 values and accumulates in float32, as NanoDO does on a TPU.
 */
public final class Head {
    private Head() {}

    /** Returns the type of the embedding that the product uses. */
    public static Dtype dtype(LanguageModel model) {
        Dtype dtype = model.config().dtype();
        return dtype == Dtype.BFLOAT16 && model.device().isCpu() ? Dtype.FLOAT32 : dtype;
    }

    /** Returns a model's float32 logits, y_TxV or y_BxLxV, of its last block's output, y_TxD or y_BxLxD. */
    public static Tensor of(BlockModel model, Tensor y_BxLxD, ForwardPass pass) {
        return model.logits(
                product(model.outNorm(y_BxLxD, pass), model.outEmbed().as(dtype(model))));
    }

    /**
     * Returns the product of normalised y_TxD or y_BxLxD with the output embedding, in float32.
     *
     * @param embed_VxD in the type {@link #dtype}
     */
    public static Tensor product(Tensor y_BxLxD, Tensor embed_VxD) {
        if (Tensors.type(embed_VxD) == ScalarType.Float) {
            return Linear.of(y_BxLxD.to(ScalarType.Float), embed_VxD.t());
        }
        if (!y_BxLxD.is_cuda()) {
            return Linear.of(y_BxLxD, embed_VxD.t()).to(ScalarType.Float); // no kernel returns its sums unrounded
        }
        if (GradMode.is_enabled()) { // the kernel below has no gradient
            return y_BxLxD.to(ScalarType.Float).matmul(embed_VxD.t().to(ScalarType.Float));
        }
        long[] shape = y_BxLxD.shape();
        shape[shape.length - 1] = embed_VxD.size(0);
        return torch.mm(y_BxLxD.reshape(-1, embed_VxD.size(1)), embed_VxD.t(), ScalarType.Float)
                .view(shape);
    }
}
