package org.nanodo.experimental;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.nanodo.model.TransformerConfig;

/**
 * The config of a {@link Llama}. Names of its tensors use one more letter: K, the number of key and value heads.
 *
 * @param kvHeads number of key and value heads; divides H; null for {@link #defaultKvHeads}
 * @param ropeTheta base of the rotary positions' wavelengths; null for {@link #ROPE_THETA}
 * @param eps what RMSNorm adds to the mean square; null for {@link #EPS}
 * @param tied whether the head multiplies with the input embedding instead of a parameter of its own; null for false
 */
public record LlamaConfig(
        @JsonProperty(required = true) TransformerConfig sizes,
        Integer kvHeads,
        Double ropeTheta,
        Double eps,
        Boolean tied) {
    public static final double ROPE_THETA = 10_000;
    public static final double EPS = 1e-5;

    public LlamaConfig {
        int H = sizes.H();
        kvHeads = kvHeads == null ? defaultKvHeads(H) : kvHeads;
        ropeTheta = ropeTheta == null ? ROPE_THETA : ropeTheta;
        eps = eps == null ? EPS : eps;
        tied = tied != null && tied;
        if (kvHeads <= 0 || H % kvHeads != 0) {
            throw new IllegalArgumentException("kvHeads is " + kvHeads + ", it must divide H=" + H
                    + ": each key and value head serves the same number of query heads");
        }
        if (sizes.Dh() % 2 != 0) {
            throw new IllegalArgumentException(
                    "The head width D/H=" + sizes.Dh() + " must be even: rotary positions rotate pairs of numbers");
        }
        if (!(ropeTheta > 0 && eps > 0)) {
            throw new IllegalArgumentException(
                    "ropeTheta and eps must be positive, they are " + ropeTheta + " and " + eps);
        }
    }

    /** Returns one key and value head for four query heads, as in Llama 3, if 4 divides H, otherwise H. */
    public static int defaultKvHeads(int H) {
        return H % 4 == 0 ? H / 4 : H;
    }

    /** Returns the default config for the given sizes. */
    public static LlamaConfig of(TransformerConfig sizes) {
        return new LlamaConfig(sizes, defaultKvHeads(sizes.H()), ROPE_THETA, EPS, false);
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
