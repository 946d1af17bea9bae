package org.nanodo.model;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.SingleThreadedBlas;
import org.nanodo.runtime.Tensors;

/** Softmax(q kᵀ / √Dh) v: the one place in a block where positions meet, so that what a position sees is decided here. */
@FunctionalInterface
public interface Attention {
    /** Each query sees the keys up to its own position: what a model is trained with. */
    Attention CAUSAL = (q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh) ->
            fused(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, new TensorOptional(), true);

    /**
     * The same within documents: a query sees no key of another one.
     *
     * @param documents_BxL numbers that tell a row's documents apart
     */
    static Attention within(Tensor documents_BxL) {
        Tensor same_BxLxL = documents_BxL.unsqueeze(2).eq(documents_BxL.unsqueeze(1));
        var mask_Bx1xLxL = new TensorOptional(same_BxLxL.tril().unsqueeze(1));
        return (q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh) -> fused(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, mask_Bx1xLxL, false);
    }

    /** Keys and values may have fewer heads than queries: each then serves as many neighbouring heads of these. */
    Tensor of(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh);

    /**
     * Where L columns of tokens stand in their texts, for a block whose queries and keys depend on that: int64, BxL, or 1xL
     * where all rows are alike.
     */
    default Tensor positions(Device device, long L) {
        return Tensors.range(device, L).unsqueeze(0);
    }

    /**
     * LibTorch's fused kernel for L queries and S keys.
     *
     * @param mask_Bx1xLxS true where a query sees a key, or added to the scores; none where every query sees every key
     * @param causal whether, without a mask, query i sees keys 0 to i
     */
    static Tensor fused(
            Tensor q_BxHxLxDh, Tensor k_BxHxSxDh, Tensor v_BxHxSxDh, TensorOptional mask_Bx1xLxS, boolean causal) {
        if (!q_BxHxLxDh.is_cuda() && Tensors.type(q_BxHxLxDh) == ScalarType.BFloat16) {
            // On the CPU bfloat16 attention takes 25 times as long as float32's.
            Tensor out_BxHxLxDh = fused(
                    q_BxHxLxDh.to(ScalarType.Float),
                    k_BxHxSxDh.to(ScalarType.Float),
                    v_BxHxSxDh.to(ScalarType.Float),
                    mask_Bx1xLxS,
                    causal);
            return out_BxHxLxDh.to(ScalarType.BFloat16);
        }
        if (q_BxHxLxDh.is_cuda()) {
            return kernel(q_BxHxLxDh, k_BxHxSxDh, v_BxHxSxDh, mask_Bx1xLxS, causal);
        }
        return SingleThreadedBlas.call(
                () -> kernel(q_BxHxLxDh, k_BxHxSxDh, v_BxHxSxDh, mask_Bx1xLxS, causal),
                q_BxHxLxDh,
                k_BxHxSxDh,
                v_BxHxSxDh);
    }

    private static Tensor kernel(
            Tensor q_BxHxLxDh, Tensor k_BxHxSxDh, Tensor v_BxHxSxDh, TensorOptional mask_Bx1xLxS, boolean causal) {
        double noDropout = 0;
        boolean groupedQueries = q_BxHxLxDh.size(1) != k_BxHxSxDh.size(1);
        return torch.scaled_dot_product_attention(
                q_BxHxLxDh,
                k_BxHxSxDh,
                v_BxHxSxDh,
                mask_Bx1xLxS,
                noDropout,
                causal,
                new DoubleOptional(),
                groupedQueries);
    }
}
