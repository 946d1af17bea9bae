package org.nanodo.model;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** The lookup of token ids in an embedding. */
public final class Embedding {
    private Embedding() {}

    /**
     * Returns y_BxLxD for y_BxL.
     *
     * @param tied whether the head uses the same parameter. If so, the head's gradient is dense, and this gradient is sparse and
     *     adds only the rows that were used. Otherwise this gradient is dense, as optimizers require.
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
                                + ", these are " + y_BxL.min().item_long() + " to "
                                + y_BxL.max().item_long(),
                        e);
            }
            throw e;
        }
    }
}
