package org.nanodo.data;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * Noam packing: documents, each as BOS, its ids, EOS, are laid end to end and cut every L tokens, so that no position is
 * wasted. Rows come in windows, each a function of the position it starts at alone: that is what makes seeking exact.
 */
final class NoamPacker implements AutoCloseable {
    /** About a million tokens, 4 MiB: the reach of the row shuffle, and what is made ahead of the trainer. */
    private static final int WINDOW_TOKENS = 1 << 20;

    /**
     * Rows in the order they are served. The last window of a finite dataset is filled up with padding.
     *
     * @param begun the documents that begin here
     */
    record Window(Position start, Position next, int L, int[] tokens, int textTokens, int[] order, TextSize begun) {
        int rows() {
            return order.length;
        }

        Batch batch(int from, int to) {
            int[] tokens_BxL = new int[(to - from) * L];
            int[] lengths_B = new int[to - from];
            for (int b = 0; b < lengths_B.length; b++) {
                int start = order[from + b] * L;
                System.arraycopy(tokens, start, tokens_BxL, b * L, L);
                lengths_B[b] = Math.max(0, Math.min(L, textTokens - start));
            }
            return Batch.of(L, tokens_BxL, lengths_B);
        }
    }

    private final PackedDataset dataset;
    private final EncodedDocuments documents;

    NoamPacker(PackedDataset dataset) {
        this.dataset = dataset;
        this.documents = new EncodedDocuments(dataset);
    }

    /** The window that starts there, without rows if the data ends there. */
    Window window(Position start) {
        int L = dataset.length();
        int batch = dataset.batch();
        int batches = Math.max(1, WINDOW_TOKENS / (L * batch));
        var tokens = new int[Math.multiplyExact(batches * batch, L)];
        long epoch = start.epoch();
        int document = start.document();
        int token = start.token();
        int filled = 0;
        TextSize begun = TextSize.NONE;
        // A window that starts in mid-epoch follows others: the corpus was long enough for them.
        long epochTokens = document == 0 && token == 0 ? 0 : L;
        while (filled < tokens.length && epoch < dataset.epochs()) {
            EncodedDocuments.Encoded encoded = documents.get(epoch, document);
            int[] ids = encoded.ids();
            if (token == 0) {
                begun = begun.plus(new TextSize(ids.length, encoded.bytes()));
            }
            if (token >= ids.length) {
                throw new IllegalArgumentException(
                        start + " is beyond the end of its document: it was taken from another dataset");
            }
            int take = Math.min(ids.length - token, tokens.length - filled);
            System.arraycopy(ids, token, tokens, filled, take);
            filled += take;
            token += take;
            epochTokens += take;
            if (token == ids.length) {
                token = 0;
                document++;
            }
            if (document == dataset.source().size()) {
                if (epochTokens < L && dataset.epochs() == PackedDataset.ENDLESS) {
                    throw new IllegalArgumentException("The whole corpus is " + epochTokens + " tokens, one row needs "
                            + L + ": use more text or a smaller length");
                }
                document = 0;
                epoch++;
                epochTokens = 0;
            }
        }
        int textRows = (filled + L - 1) / L;
        int rows = (textRows + batch - 1) / batch * batch;
        Arrays.fill(tokens, filled, tokens.length, dataset.tokenizer().padId());
        return new Window(
                start,
                new Position(epoch, document, token, 0),
                L,
                tokens,
                filled,
                rowOrder(start, textRows, rows),
                begun);
    }

    private int[] rowOrder(Position start, int textRows, int rows) {
        int[] order = IntStream.range(0, rows).toArray();
        if (dataset.shuffles()) {
            long turn = (start.epoch() * dataset.source().size() + start.document()) * 31 + start.token() + 1;
            System.arraycopy(Shuffle.permutation(textRows, dataset.seed(), turn), 0, order, 0, textRows);
        }
        return order;
    }

    @Override
    public void close() {
        documents.close();
    }
}
