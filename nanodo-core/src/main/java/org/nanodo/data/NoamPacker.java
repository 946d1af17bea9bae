package org.nanodo.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Noam packing: documents, each as BOS, its ids, EOS, are laid end to end and cut every L tokens, so that no position is
 * wasted. Rows come in windows, each a function of the position it starts at alone: that is what makes seeking exact.
 */
final class NoamPacker {
    private static final Logger log = LoggerFactory.getLogger(NoamPacker.class);

    /** About a million tokens, 4 MiB: the reach of the row shuffle, and what is made ahead of the trainer. */
    private static final int WINDOW_TOKENS = 1 << 20;

    /** Rows in the order they are served. The last window of a finite dataset is filled up with padding. */
    record Window(Position start, Position next, int L, int[] tokens, int textTokens, int[] order) {
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
    private final Set<Integer> warned = new HashSet<>();
    private long orderEpoch = -1;
    private int[] order;

    NoamPacker(PackedDataset dataset) {
        this.dataset = dataset;
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
        // A window that starts in mid-epoch follows others: the corpus was long enough for them.
        long epochTokens = document == 0 && token == 0 ? 0 : L;
        while (filled < tokens.length && epoch < dataset.epochs()) {
            int[] ids = ids(documentAt(epoch, document));
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
                start, new Position(epoch, document, token, 0), L, tokens, filled, rowOrder(start, textRows, rows));
    }

    private int[] rowOrder(Position start, int textRows, int rows) {
        int[] order = IntStream.range(0, rows).toArray();
        if (dataset.shuffles()) {
            long turn = (start.epoch() * dataset.source().size() + start.document()) * 31 + start.token() + 1;
            System.arraycopy(Shuffle.permutation(textRows, dataset.seed(), turn), 0, order, 0, textRows);
        }
        return order;
    }

    private int documentAt(long epoch, int index) {
        if (!dataset.shuffles()) {
            return index;
        }
        if (orderEpoch != epoch) {
            order = Shuffle.permutation(dataset.source().size(), dataset.seed(), -epoch);
            orderEpoch = epoch;
        }
        return order[index];
    }

    private int[] ids(int index) {
        Document document;
        try {
            document = dataset.source().read(index);
        } catch (IOException e) {
            throw new UncheckedIOException("Could not read " + dataset.source().name(index) + ": " + e.getMessage(), e);
        }
        if (document.malformed() > 0 && warned.add(index)) {
            log.warn("{} is not UTF-8 in {} places, each now reads U+FFFD", document.name(), document.malformed());
        }
        Tokenizer tokenizer = dataset.tokenizer();
        int[] text = encode(tokenizer, document);
        int bos = tokenizer.bosId() == tokenizer.eosId() ? 0 : 1;
        int[] ids = new int[bos + text.length + 1];
        ids[0] = tokenizer.bosId();
        System.arraycopy(text, 0, ids, bos, text.length);
        ids[ids.length - 1] = tokenizer.eosId();
        return ids;
    }

    private static int[] encode(Tokenizer tokenizer, Document document) {
        try {
            return tokenizer.encode(document.text());
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("Could not encode " + document.name() + ": " + e.getMessage(), e);
        }
    }
}
