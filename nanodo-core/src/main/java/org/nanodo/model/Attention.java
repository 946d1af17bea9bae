package org.nanodo.model;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.SingleThreadedBlas;
import org.nanodo.runtime.Tensors;

/** Softmax(q kᵀ / √Dh) v: the only operation of a block that mixes positions, and so decides what each position attends to. */
@FunctionalInterface
public interface Attention {
    /** Causal attention: each query attends to the keys up to its own position. Models are trained with it. */
    Attention CAUSAL = (q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh) ->
            fused(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, new TensorOptional(), true);

    /**
     * Returns causal attention within documents: no query attends to a key of another document.
     *
     * @param documents_BxL a number for each token that identifies its document within the row
     */
    static Attention within(Tensor documents_BxL) {
        Tensor same_BxLxL = documents_BxL.unsqueeze(2).eq(documents_BxL.unsqueeze(1));
        var mask_Bx1xLxL = new TensorOptional(same_BxLxL.tril().unsqueeze(1));
        return (q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh) -> fused(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, mask_Bx1xLxL, false);
    }

    /** Attends. Keys and values may have fewer heads than queries; each then serves a group of neighbouring query heads. */
    Tensor of(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh);

    /**
     * Returns the positions of L columns of tokens in their texts, for blocks that depend on them: int64, BxL, or 1xL if they are
     * the same in all rows.
     */
    default Tensor positions(Device device, long L) {
        return Tensors.range(device, L).unsqueeze(0);
    }

    /**
     * Calls LibTorch's fused kernel for L queries and S keys.
     *
     * @param mask_Bx1xLxS true where a query attends to a key, or numbers to add to the scores; empty for no mask
     * @param causal whether, without a mask, query i attends to keys 0 to i only
     */
    static Tensor fused(
            Tensor q_BxHxLxDh, Tensor k_BxHxSxDh, Tensor v_BxHxSxDh, TensorOptional mask_Bx1xLxS, boolean causal) {
        if (!q_BxHxLxDh.is_cuda() && Tensors.type(q_BxHxLxDh) == ScalarType.BFloat16) {
            // On the CPU, bfloat16 attention takes 25 times as long as float32 attention.
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
