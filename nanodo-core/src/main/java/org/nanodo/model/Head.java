package org.nanodo.model;

import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Tensors;

/**
 * The product with the output embedding, whose result is float32. A bfloat16 model on the CPU multiplies float32 values
 * here, as NanoDO does: a rounded embedding moves the loss by more than all else that is rounded. On a GPU, where such a
 * product would take many times as long, it multiplies bfloat16 values and adds up in float32, as the original does on a TPU.
 */
public final class Head {
    private Head() {}

    /** The type of the embedding that the product takes. */
    public static Dtype dtype(LanguageModel model) {
        Dtype dtype = model.config().dtype();
        return dtype == Dtype.BFLOAT16 && model.device().isCpu() ? Dtype.FLOAT32 : dtype;
    }

    /**
     * Logits in float32 of normalised y_TxD or y_BxLxD.
     *
     * @param embed_VxD in the type that {@link #dtype} tells
     */
    public static Tensor logits(Tensor y_BxLxD, Tensor embed_VxD) {
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
