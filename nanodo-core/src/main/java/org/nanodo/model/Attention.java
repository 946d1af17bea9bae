package org.nanodo.model;

import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.SingleThreadedBlas;
import org.nanodo.runtime.Tensors;

/**
 * Softmax(q kᵀ / √Dh) v: what mixes positions, and so decides what each position attends to. A {@link Kernel} computes it.
 */
@FunctionalInterface
public interface Attention {
    /** Causal attention: each query attends to the keys up to its own position. Models are trained with it. */
    Attention CAUSAL = (q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, kernel) ->
            kernel.of(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, new TensorOptional(), true);

    /**
     * Returns causal attention within documents: no query attends to a key of another document.
     *
     * @param documents_BxL a number for each token that identifies its document within the row
     */
    static Attention within(Tensor documents_BxL) {
        Tensor same_BxLxL = documents_BxL.unsqueeze(2).eq(documents_BxL.unsqueeze(1));
        var mask_Bx1xLxL = new TensorOptional(same_BxLxL.tril().unsqueeze(1));
        return (q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, kernel) ->
                kernel.of(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, mask_Bx1xLxL, false);
    }

    /** Attends. Keys and values may have fewer heads than queries; each then serves a group of neighbouring query heads. */
    Tensor of(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh, Kernel kernel);

    /** Attends with LibTorch's fused kernel. */
    default Tensor of(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh) {
        return of(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, Attention::fused);
    }

    /** Computes attention of L queries to S keys. */
    @FunctionalInterface
    interface Kernel {
        /**
         * @param mask_Bx1xLxS true where a query attends to a key, or numbers to add to the scores; empty for no mask
         * @param causal whether, without a mask, query i attends to keys 0 to i only
         */
        Tensor of(Tensor q_BxHxLxDh, Tensor k_BxHxSxDh, Tensor v_BxHxSxDh, TensorOptional mask_Bx1xLxS, boolean causal);
    }

    /** Returns a kernel of basic operations, which has second derivatives, but stores all attention weights. */
    static Kernel plain() {
        return plain(UnaryOperator.identity());
    }

    /**
     * Returns a kernel of basic operations that changes the attention weights, for example by dropout.
     *
     * @param change maps weights_BxHxLxS, float32
     */
    static Kernel plain(UnaryOperator<Tensor> change) {
        return (q_BxHxLxDh, k_BxHxSxDh, v_BxHxSxDh, mask_Bx1xLxS, causal) -> {
            Tensor weights_BxHxLxS =
                    scores(q_BxHxLxDh, k_BxHxSxDh, mask_Bx1xLxS, causal).softmax(-1);
            ScalarType type = Tensors.type(v_BxHxSxDh);
            return change.apply(weights_BxHxLxS).to(type).matmul(perQuery(v_BxHxSxDh, q_BxHxLxDh.size(1)));
        };
    }

    /** Returns the scores q kᵀ / √Dh, BxHxLxS in float32, -∞ where a query does not attend to a key. */
    static Tensor scores(Tensor q_BxHxLxDh, Tensor k_BxHxSxDh, TensorOptional mask_Bx1xLxS, boolean causal) {
        Tensor k_BxHxDhxS = perQuery(k_BxHxSxDh, q_BxHxLxDh.size(1)).transpose(2, 3);
        Tensor scores_BxHxLxS =
                q_BxHxLxDh.matmul(k_BxHxDhxS).to(ScalarType.Float).mul(new Scalar(1 / Math.sqrt(q_BxHxLxDh.size(3))));
        var hidden = new Scalar(Double.NEGATIVE_INFINITY);
        if (causal) {
            Tensor all_LxS = torch.ones_like(scores_BxHxLxS.select(0, 0).select(0, 0));
            return scores_BxHxLxS.masked_fill(all_LxS.tril().eq(new Scalar(0)), hidden);
        }
        if (!mask_Bx1xLxS.has_value()) {
            return scores_BxHxLxS;
        }
        Tensor mask = mask_Bx1xLxS.get();
        return Tensors.type(mask) == ScalarType.Bool
                ? scores_BxHxLxS.masked_fill(mask.logical_not(), hidden)
                : scores_BxHxLxS.add(mask);
    }

    /** Repeats keys or values of grouped queries, once for each query head. */
    private static Tensor perQuery(Tensor k_BxKxSxDh, long H) {
        long K = k_BxKxSxDh.size(1);
        return K == H ? k_BxKxSxDh : k_BxKxSxDh.repeat_interleave(H / K, new LongOptional(1), new LongOptional());
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
