package org.nanodo.model;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** A lookup of token ids. */
public final class Embedding {
    private Embedding() {}

    /**
     * y_BxL to y_BxLxD.
     *
     * @param tied whether the head multiplies with the same parameter. Its gradient from there is dense, to which this one adds
     *     the few rows that were used. Otherwise this one is dense itself, as optimizers want it.
     * @throws IllegalArgumentException if an id is not in the vocabulary
     */
    public static Tensor of(Tensor y_BxL, Parameter embed_VxD, boolean tied) {
        try {
            int noPadding = -1;
            boolean scaledByFrequency = false;
            boolean sparseGradient = tied;
            return torch.embedding(embed_VxD.tensor(), y_BxL, noPadding, scaledByFrequency, sparseGradient);
        } catch (RuntimeException e) {
            if (String.valueOf(e.getMessage()).contains("index out of range")) {
                throw new IllegalArgumentException(
                        "A token id is not in the vocabulary: ids are 0 to "
                                + (embed_VxD.shape()[0] - 1)
                                + ", these reach from " + y_BxL.min().item_long() + " to "
                                + y_BxL.max().item_long(),
                        e);
            }
            throw e;
        }
    }
}
