package org.nanodo.data;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import org.nanodo.data.EncodedDocuments.Encoded;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.files.DaemonThread;
import org.nanodo.source.Shuffle;

/**
 * Noam packing: documents, each as BOS, its ids, EOS, are laid end to end and cut every L tokens, so that no position is
 * wasted. Rows come in windows, each a function of the position it starts at alone: that is what makes seeking exact.
 */
final class Packer implements AutoCloseable {
    /** About a million tokens, 4 MiB: the reach of the row shuffle, and what is made ahead of the trainer. */
    private static final int WINDOW_TOKENS = 1 << 20;

    /** Where rows are not shuffled: an evaluation of few batches has no use for more. */
    private static final int UNSHUFFLED_BATCHES = 64;

    /**
     * Rows in the order they are served. The last window of a finite dataset is filled up with padding.
     *
     * @param begun the documents that begin here
     */
    record Window(Position start, Position next, Rows made, int[] order, TextSize begun) {
        int rows() {
            return order.length;
        }

        Batch batch(int from, int to) {
            return made.batch(order, from, to);
        }
    }

    /** Of tokens of documents encoded ahead, over all sources: 16 MiB. */
    private static final long AHEAD_TOKENS = 1 << 22;

    private static final int THREADS = Runtime.getRuntime().availableProcessors();

    private final PackedDataset dataset;
    private final List<EncodedDocuments> sources;
    private final ExecutorService encoders =
            Executors.newFixedThreadPool(THREADS, task -> DaemonThread.of("nanodo-encoder", task));

    Packer(PackedDataset dataset) {
        this.dataset = dataset;
        List<Mixture.Part> parts = dataset.mixture().parts();
        sources = IntStream.range(0, parts.size())
                .mapToObj(i -> DocumentOrder.of(dataset, i))
                .map(order -> new EncodedDocuments(
                        order, dataset.tokenizer(), encoders, THREADS, AHEAD_TOKENS / parts.size()))
                .toList();
    }

    /** The window that starts there, without rows if the data ends there. */
    Window window(Position start) {
        int L = dataset.length();
        int batch = dataset.batch();
        int batches = (int) Math.max(1, WINDOW_TOKENS / ((long) L * batch));
        if (!dataset.shuffles()) {
            batches = Math.min(batches, UNSHUFFLED_BATCHES);
        }
        var made = new Rows(dataset, batches * batch);
        var places = new ArrayList<>(start.sources());
        int token = start.token();
        TextSize begun = TextSize.NONE;
        while (!made.areFull()) {
            int source = dataset.mixture().next(places);
            SourcePosition place = places.get(source);
            Encoded document = sources.get(source).at(place);
            if (document == null) {
                break;
            }
            int[] ids = document.tokens().ids();
            if (token == 0) {
                begun = begun.plus(TextSize.of(document.tokens(), dataset.packing()));
            }
            if (token > 0 && token >= ids.length) {
                throw new IllegalArgumentException(
                        start + " is beyond the end of its document: it was taken from another dataset");
            }
            token += made.add(ids, token);
            if (token == ids.length) {
                token = 0;
                places.set(source, document.next());
                checkLongEnough(place, document.next(), source);
            }
        }
        int rows = (made.count() + batch - 1) / batch * batch;
        return new Window(start, new Position(places, token, 0), made, rowOrder(start, made.count(), rows), begun);
    }

    /** After the first pass over a source its tokens are known. An endless one without any would be read for ever. */
    private void checkLongEnough(SourcePosition place, SourcePosition next, int source) {
        if (place.epoch() > 0 || next.epoch() == 0 || dataset.epochs() != PackedDataset.ENDLESS) {
            return;
        }
        if (next.tokens() == 0) {
            String name = dataset.mixture().parts().get(source).source().name(0);
            throw new IllegalArgumentException("A source has no text in any of its documents, such as " + name);
        }
        if (sources.size() == 1 && dataset.packing() == Packing.NOAM && next.tokens() < dataset.length()) {
            throw new IllegalArgumentException("The whole corpus is " + next.tokens() + " tokens, one row needs "
                    + dataset.length() + ": use more text or a smaller length");
        }
    }

    private int[] rowOrder(Position start, int textRows, int rows) {
        int[] order = IntStream.range(0, rows).toArray();
        if (dataset.shuffles()) {
            System.arraycopy(Shuffle.permutation(textRows, dataset.seed(), start.tokens() + 1), 0, order, 0, textRows);
        }
        return order;
    }

    @Override
    public void close() {
        encoders.shutdownNow();
        sources.forEach(EncodedDocuments::close);
    }
}
