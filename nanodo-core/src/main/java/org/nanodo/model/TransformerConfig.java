package org.nanodo.model;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.nanodo.runtime.Dtype;

/**
 * The sizes of a decoder-only Transformer. The letters name tensor dimensions throughout the code: {@code x_BxLxD} is a batch
 * of B rows of L positions of D numbers. Dh = D / H.
 *
 * @param D model width
 * @param H number of attention heads; divides D
 * @param L context length: the largest number of positions in a row
 * @param N number of blocks
 * @param V vocabulary size
 * @param F feed-forward width
 * @param dtype type of the computation, null for float32; parameters are always float32
 * @param remat whether to recompute each block in the backward pass instead of keeping its activations; null for false
 */
public record TransformerConfig(
        @JsonProperty(required = true) int D,
        @JsonProperty(required = true) int H,
        @JsonProperty(required = true) int L,
        @JsonProperty(required = true) int N,
        @JsonProperty(required = true) int V,
        @JsonProperty(required = true) int F,
        Dtype dtype,
        Boolean remat) {

    public TransformerConfig {
        checkPositive("D (model width)", D);
        checkPositive("H (heads)", H);
        checkPositive("L (context length)", L);
        checkPositive("N (blocks)", N);
        checkPositive("V (vocabulary size)", V);
        checkPositive("F (feed-forward width)", F);
        if (D % H != 0) {
            throw new IllegalArgumentException(
                    "D=" + D + " is not divisible by H=" + H + ": every head needs the same width");
        }
        dtype = dtype == null ? Dtype.FLOAT32 : dtype;
        remat = remat != null && remat;
    }

    /** Returns a builder with NanoDO's sizes, D=512 H=8 L=512 N=6 F=2048, in float32; V must be set. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns the width of a head. */
    public int Dh() {
        return D / H;
    }

    private static void checkPositive(String name, int value) {
        if (value <= 0) {
            throw new IllegalArgumentException(name + " is " + value + ", it must be positive");
        }
    }

    public static final class Builder {
        private int D = 512;
        private int H = 8;
        private int L = 512;
        private int N = 6;
        private int V;
        private int F = 2048;
        private Dtype dtype = Dtype.FLOAT32;
        private boolean remat;

        private Builder() {}

        public Builder D(int modelWidth) {
            this.D = modelWidth;
            return this;
        }

        public Builder H(int heads) {
            this.H = heads;
            return this;
        }

        public Builder L(int contextLength) {
            this.L = contextLength;
            return this;
        }

        public Builder N(int blocks) {
            this.N = blocks;
            return this;
        }

        public Builder V(int vocabularySize) {
            this.V = vocabularySize;
            return this;
        }

        public Builder F(int feedForwardWidth) {
            this.F = feedForwardWidth;
            return this;
        }

        public Builder dtype(Dtype dtype) {
            this.dtype = dtype;
            return this;
        }

        public Builder remat(boolean remat) {
            this.remat = remat;
            return this;
        }

        /** @throws IllegalArgumentException if a size is not positive or H does not divide D */
        public TransformerConfig build() {
            return new TransformerConfig(D, H, L, N, V, F, dtype, remat);
        }
    }
}
