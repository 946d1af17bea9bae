package org.nanodo.data;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.nanodo.data.Packer.Window;
import org.nanodo.files.DaemonThread;

/**
 * Iterates over the batches of a {@link PackedDataset}, which are packed in the background one window ahead. Used by one thread
 * at a time, but any thread may close it.
 */
public final class BatchIterator implements Iterator<Batch>, AutoCloseable {
    private final PackedDataset dataset;
    private final Packer packer;
    private final ExecutorService background =
            Executors.newSingleThreadExecutor(task -> DaemonThread.of("nanodo-packer", task));
    private Future<Window> ahead;
    private Window window;
    private int row;
    private TextSize read = TextSize.NONE;
    private volatile boolean closed;

    BatchIterator(PackedDataset dataset) {
        this.dataset = dataset;
        this.packer = new Packer(dataset);
        seek(Position.start(dataset.mixture().parts().size()));
    }

    /** Returns the position of the next batch. Another iterator over an equal dataset can {@link #seek} to it. */
    public Position position() {
        Window current = current();
        Position start = current.start();
        return row == current.rows() && row > 0 ? current.next() : new Position(start.sources(), start.token(), row);
    }

    public void seek(Position position) {
        checkOpen();
        checkExists(position);
        if (ahead != null) {
            ahead.cancel(false);
        }
        window = null;
        read = TextSize.NONE;
        row = position.row();
        ahead = pack(new Position(position.sources(), position.token(), 0));
    }

    @Override
    public boolean hasNext() {
        if (row == current().rows() && row > 0) {
            window = null;
            row = 0;
        }
        return current().rows() > 0;
    }

    /**
     * @throws NoSuchElementException after the last epoch
     * @throws java.io.UncheckedIOException if a document or shard cannot be read
     */
    @Override
    public Batch next() {
        if (!hasNext()) {
            throw new NoSuchElementException("The dataset ended after " + dataset.epochs() + " epochs");
        }
        int rows = dataset.batch() / dataset.world();
        int first = row + dataset.rank() * rows;
        row += dataset.batch();
        return window.batch(first, first + rows);
    }

    /**
     * Returns the total length of the documents that begin in the windows, of about a million tokens each, from which batches
     * were served since the beginning or the last {@link #seek}. After the last batch, each document counts once per epoch.
     */
    public TextSize textSize() {
        checkOpen();
        return read;
    }

    @Override
    public void close() {
        closed = true;
        // Another thread may be waiting for a task that has not started.
        background.shutdownNow().forEach(unstarted -> ((Future<?>) unstarted).cancel(false));
        packer.close();
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException(
                    "This iterator over batches is closed: create another one from its dataset");
        }
    }

    private void checkExists(Position position) {
        List<Mixture.Part> parts = dataset.mixture().parts();
        boolean exists = position.sources().size() == parts.size() && position.token() >= 0 && position.row() >= 0;
        for (int i = 0; exists && i < parts.size(); i++) {
            Position.SourcePosition next = position.sources().get(i);
            int shards = parts.get(i).source().size();
            exists = next.epoch() >= 0
                    && next.shard() >= 0
                    && (dataset.shuffles() || next.shard() < shards) // a permutation counts documents, not shards
                    && next.document() >= 0
                    && next.drawn() >= 0;
        }
        if (!exists) {
            String sizes = parts.stream().map(part -> "" + part.source().size()).collect(Collectors.joining(" and "));
            throw new IllegalArgumentException(position + " is not in this dataset of " + sizes
                    + " documents or shards: it belongs to another one");
        }
    }

    private Window current() {
        checkOpen();
        if (window == null) {
            window = unlessClosed(() -> await(ahead));
            if (row > window.rows()) {
                throw new IllegalArgumentException(
                        "Row " + row + " is not in this dataset: the position belongs to another one");
            }
            ahead = pack(window.next());
            read = read.plus(window.begun());
        }
        return window;
    }

    private Future<Window> pack(Position start) {
        return unlessClosed(() -> background.submit(() -> packer.window(start)));
    }

    /** Runs an action that fails if another thread closes this iterator. */
    private <T> T unlessClosed(Supplier<T> action) {
        try {
            return action.get();
        } catch (RuntimeException e) {
            checkOpen();
            throw e;
        }
    }

    static <T> T await(Future<T> future) {
        try {
            return future.get();
        } catch (ExecutionException e) {
            throw e.getCause() instanceof RuntimeException failure ? failure : new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted while waiting for data", e);
        }
    }
}
