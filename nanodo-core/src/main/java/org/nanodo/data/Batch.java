package org.nanodo.data;

import java.util.Arrays;

/**
 * A batch of rows, row-major in host memory. As in NanoDO's {@code get_in_out}, the targets of a row are its tokens shifted by
 * one, and its last token has no target.
 *
 * @param B the number of rows
 * @param L the number of tokens in a row
 * @param inputs_BxL token ids
 * @param targets_BxL the id after each input
 * @param weights_BxL 1 where there is a target to learn, 0 elsewhere
 * @param documents_BxL the number of each token's document, if attention must stay within documents; otherwise empty
 */
public record Batch(int B, int L, int[] inputs_BxL, int[] targets_BxL, float[] weights_BxL, int[] documents_BxL) {
    public Batch {
        if (documents_BxL.length != 0 && documents_BxL.length != B * L) {
            throw new IllegalArgumentException("A batch of " + B + " rows of " + L + " tokens needs as many document "
                    + "numbers or none, not " + documents_BxL.length);
        }
        if (inputs_BxL.length != B * L || targets_BxL.length != B * L || weights_BxL.length != B * L) {
            throw new IllegalArgumentException("A batch of " + B + " rows of " + L + " tokens needs " + B * L
                    + " inputs, targets and weights, not " + inputs_BxL.length + ", " + targets_BxL.length + " and "
                    + weights_BxL.length);
        }
    }

    /**
     * Returns a batch of rows in which every token but the last is followed by its target.
     *
     * @param lengths_B the number of tokens of each row that are text; the rest is padding
     */
    public static Batch of(int L, int[] tokens_BxL, int... lengths_B) {
        int[] targets_BxL = new int[tokens_BxL.length];
        float[] weights_BxL = new float[tokens_BxL.length];
        for (int b = 0; b < lengths_B.length; b++) {
            if (lengths_B[b] < 0 || lengths_B[b] > L) {
                throw new IllegalArgumentException(
                        "Row " + b + " cannot have " + lengths_B[b] + " of " + L + " tokens");
            }
            int end = b * L + lengths_B[b] - 1;
            for (int i = b * L; i < end; i++) {
                targets_BxL[i] = tokens_BxL[i + 1];
                weights_BxL[i] = 1;
            }
        }
        return new Batch(lengths_B.length, L, tokens_BxL, targets_BxL, weights_BxL, new int[0]);
    }

    /** Returns the sum of the weights, the number of targets. */
    public double weight() {
        double weight = 0;
        for (float w : weights_BxL) {
            weight += w;
        }
        return weight;
    }

    /** Returns the rows from {@code from} (inclusive) to {@code to} (exclusive). */
    public Batch rows(int from, int to) {
        return new Batch(
                to - from,
                L,
                Arrays.copyOfRange(inputs_BxL, from * L, to * L),
                Arrays.copyOfRange(targets_BxL, from * L, to * L),
                Arrays.copyOfRange(weights_BxL, from * L, to * L),
                isMasked() ? Arrays.copyOfRange(documents_BxL, from * L, to * L) : documents_BxL);
    }

    /** Returns this batch with attention limited to these documents, or unlimited if empty. */
    public Batch documents(int... documents_BxL) {
        return new Batch(B, L, inputs_BxL, targets_BxL, weights_BxL, documents_BxL);
    }

    /** Returns whether attention must stay within documents. */
    public boolean isMasked() {
        return documents_BxL.length > 0;
    }
}
