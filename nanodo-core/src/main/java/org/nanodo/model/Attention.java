package org.nanodo.model;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.SingleThreadedBlas;
import org.nanodo.runtime.Tensors;

/** Attention of each position to itself and those before, through LibTorch's fused kernels. */
final class Attention {
    private Attention() {}

    /** Softmax(q kᵀ / √Dh) v, where each query sees the keys up to its own. All tensors are BxHxLxDh. */
    static Tensor causal(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh) {
        if (q_BxHxLxDh.is_cuda()) {
            return fused(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh);
        }
        if (Tensors.type(q_BxHxLxDh) == ScalarType.BFloat16) {
            // On the CPU bfloat16 attention takes 25 times as long as float32's.
            Tensor out_BxHxLxDh = causal(
                    q_BxHxLxDh.to(ScalarType.Float), k_BxHxLxDh.to(ScalarType.Float), v_BxHxLxDh.to(ScalarType.Float));
            return out_BxHxLxDh.to(ScalarType.BFloat16);
        }
        return SingleThreadedBlas.call(
                () -> fused(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh), q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh);
    }

    private static Tensor fused(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh) {
        double noDropout = 0;
        boolean causal = true;
        boolean groupedQueries = false;
        return torch.scaled_dot_product_attention(
                q_BxHxLxDh,
                k_BxHxLxDh,
                v_BxHxLxDh,
                new TensorOptional(),
                noDropout,
                causal,
                new DoubleOptional(),
                groupedQueries);
    }
}
