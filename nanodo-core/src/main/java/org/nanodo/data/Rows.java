package org.nanodo.data;

import java.util.Arrays;

/** Packs documents into rows of L tokens. */
final class Rows {
    private final Packing packing;
    private final int L;
    private final int[] tokens;
    private final int[] documents; // the number of each token's document; empty without a document mask
    private final int[] lengths;
    private int filled;
    private int document;

    Rows(PackedDataset dataset, int rows) {
        packing = dataset.packing();
        L = dataset.length();
        tokens = new int[Math.multiplyExact(rows, L)];
        Arrays.fill(tokens, dataset.tokenizer().padId());
        documents = new int[dataset.documentMask() ? tokens.length : 0];
        lengths = new int[rows];
    }

    boolean areFull() {
        return filled == tokens.length;
    }

    /** Returns the number of rows that have a token. */
    int count() {
        return (filled + L - 1) / L;
    }

    /** Adds the ids of a document from an index on. @return how many ids were used up: packed, or dropped by truncation */
    int add(int[] ids, int from) {
        int room = packing == Packing.PADDED ? L : tokens.length - filled;
        int take = Math.min(ids.length - from, room);
        System.arraycopy(ids, from, tokens, filled, take);
        if (documents.length > 0) {
            Arrays.fill(documents, filled, filled + take, document++);
        }
        for (int end = filled + take; filled < end; ) {
            int inRow = Math.min(end - filled, L - filled % L);
            lengths[filled / L] += inRow;
            filled += inRow;
        }
        if (packing == Packing.NOAM) {
            return take;
        }
        filled = count() * L;
        return ids.length - from;
    }

    /** Returns the rows whose numbers are in this range of {@code rows}. */
    Batch batch(int[] rows, int from, int to) {
        int[] tokens_BxL = new int[(to - from) * L];
        int[] documents_BxL = new int[documents.length == 0 ? 0 : tokens_BxL.length];
        int[] lengths_B = new int[to - from];
        for (int b = 0; b < lengths_B.length; b++) {
            int row = rows[from + b];
            System.arraycopy(tokens, row * L, tokens_BxL, b * L, L);
            if (documents.length > 0) {
                System.arraycopy(documents, row * L, documents_BxL, b * L, L);
            }
            lengths_B[b] = lengths[row];
        }
        return Batch.of(L, tokens_BxL, lengths_B).documents(documents_BxL);
    }
}
