package org.nanodo.experimental;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.nanodo.model.TransformerConfig;

/**
 * What a Llama is made of. A letter more in names of tensors: K, the heads of keys and values.
 *
 * @param kvHeads heads of keys and values; divides H; null for one to four heads of queries, as Llama 3 has, where 4
 *     divides H, otherwise for H
 * @param ropeTheta base of the rotary positions' wavelengths; null for 10,000
 * @param eps added to the mean square by which is normalised; null for 1e-5
 * @param tied whether the head multiplies with the input embedding, or has a parameter of its own; null for the latter
 */
public record LlamaConfig(
        @JsonProperty(required = true) TransformerConfig sizes,
        Integer kvHeads,
        Double ropeTheta,
        Double eps,
        Boolean tied) {
    public LlamaConfig {
        int H = sizes.H();
        kvHeads = kvHeads == null ? H % 4 == 0 ? H / 4 : H : kvHeads;
        ropeTheta = ropeTheta == null ? 10_000 : ropeTheta;
        eps = eps == null ? 1e-5 : eps;
        tied = tied != null && tied;
        if (kvHeads <= 0 || H % kvHeads != 0) {
            throw new IllegalArgumentException(
                    "kvHeads is " + kvHeads + ", it has to divide H=" + H + ": each serves as many heads of queries");
        }
        if (sizes.Dh() % 2 != 0) {
            throw new IllegalArgumentException(
                    "A head of D/H=" + sizes.Dh() + " numbers cannot be turned pair by pair: it has to be even");
        }
        if (!(ropeTheta > 0 && eps > 0)) {
            throw new IllegalArgumentException(
                    "ropeTheta and eps have to be positive, they are " + ropeTheta + " and " + eps);
        }
    }

    /** The usual of these sizes. */
    public static LlamaConfig of(TransformerConfig sizes) {
        return new LlamaConfig(sizes, null, null, null, null);
    }

    public LlamaConfig kvHeads(int kvHeads) {
        return new LlamaConfig(sizes, kvHeads, ropeTheta, eps, tied);
    }

    public LlamaConfig ropeTheta(double ropeTheta) {
        return new LlamaConfig(sizes, kvHeads, ropeTheta, eps, tied);
    }

    public LlamaConfig eps(double eps) {
        return new LlamaConfig(sizes, kvHeads, ropeTheta, eps, tied);
    }

    public LlamaConfig tied(boolean tied) {
        return new LlamaConfig(sizes, kvHeads, ropeTheta, eps, tied);
    }
}
