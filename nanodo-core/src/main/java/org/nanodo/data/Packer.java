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
 * Packs the documents of a dataset into windows of rows. A window depends only on the position at which it starts, which makes
 * seeking exact.
 */
final class Packer implements AutoCloseable {
    /** About a million tokens, 4 MiB: the range of the row shuffle, and the amount packed ahead of the trainer. */
    private static final int WINDOW_TOKENS = 1 << 20;

    /** The size of a window without shuffling: an evaluation of few batches needs no more. */
    private static final int UNSHUFFLED_BATCHES = 64;

    /**
     * Rows in the order in which they are served. The last window of a finite dataset is padded to whole batches.
     *
     * @param begun the total length of the documents that begin in this window
     */
    record Window(Position start, Position next, Rows packed, int[] order, TextSize begun) {
        int rows() {
            return order.length;
        }

        Batch batch(int from, int to) {
            return packed.batch(order, from, to);
        }
    }

    /** The limit for tokens encoded ahead, over all sources: 16 MiB. */
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

    /** Packs the window that starts at a position; it has no rows if the data ends there. */
    Window window(Position start) {
        int L = dataset.length();
        int batch = dataset.batch();
        int batches = (int) Math.max(1, WINDOW_TOKENS / ((long) L * batch));
        if (!dataset.shuffles()) {
            batches = Math.min(batches, UNSHUFFLED_BATCHES);
        }
        var rows = new Rows(dataset, batches * batch);
        var positions = new ArrayList<>(start.sources());
        int token = start.token();
        TextSize begun = TextSize.NONE;
        while (!rows.areFull()) {
            int source = dataset.mixture().next(positions);
            SourcePosition position = positions.get(source);
            Encoded document = sources.get(source).at(position);
            if (document == null) {
                break;
            }
            int[] ids = document.tokens().ids();
            if (token == 0) {
                begun = begun.plus(TextSize.of(document.tokens(), dataset.packing()));
            }
            if (token > 0 && token >= ids.length) {
                throw new IllegalArgumentException(
                        start + " is beyond the end of its document: it belongs to another dataset");
            }
            token += rows.add(ids, token);
            if (token == ids.length) {
                token = 0;
                positions.set(source, document.next());
                checkLongEnough(position, document.next(), source);
            }
        }
        int padded = (rows.count() + batch - 1) / batch * batch;
        return new Window(start, new Position(positions, token, 0), rows, rowOrder(start, rows.count(), padded), begun);
    }

    /** Checks a source after its first pass: an endless source without tokens would be read for ever. */
    private void checkLongEnough(SourcePosition position, SourcePosition next, int source) {
        if (position.epoch() > 0 || next.epoch() == 0 || dataset.epochs() != PackedDataset.ENDLESS) {
            return;
        }
        if (next.tokens() == 0) {
            String name = dataset.mixture().parts().get(source).source().name(0);
            throw new IllegalArgumentException("A source has no text in any of its documents, such as " + name);
        }
        if (sources.size() == 1 && dataset.packing() == Packing.NOAM && next.tokens() < dataset.length()) {
            throw new IllegalArgumentException("The whole corpus is " + next.tokens() + " tokens, one row needs "
                    + dataset.length() + ": use more text or shorter rows");
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
