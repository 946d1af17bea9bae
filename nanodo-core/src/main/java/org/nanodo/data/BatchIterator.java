package org.nanodo.data;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.stream.Collectors;
import org.nanodo.data.Packer.Window;
import org.nanodo.files.DaemonThread;

/**
 * Batches of a {@link PackedDataset}, in its order, packed in the background a window ahead. For use by one
 * thread at a time, but any may close it.
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

    /** Where the next batch comes from. Another iterator over an equal dataset goes on there after {@link #seek}. */
    public Position position() {
        Window current = current();
        Position start = current.start();
        return row == current.rows() && row > 0 ? current.next() : new Position(start.sources(), start.token(), row);
    }

    public void seek(Position position) {
        checkOpen();
        checkIsHere(position);
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
            throw new NoSuchElementException("The dataset has ended after " + dataset.epochs() + " epochs");
        }
        int rows = dataset.batch() / dataset.world();
        int first = row + dataset.rank() * rows;
        row += dataset.batch();
        return window.batch(first, first + rows);
    }

    /**
     * The documents that begin in the windows, of about a million tokens each, that batches have come from since the beginning
     * or {@link #seek}: when all batches have been served, each document once an epoch.
     */
    public TextSize textSize() {
        checkOpen();
        return read;
    }

    @Override
    public void close() {
        closed = true;
        background.shutdownNow().forEach(unstarted -> ((Future<?>) unstarted)
                .cancel(false)); // somebody may be waiting for one
        packer.close();
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException("This iterator over batches is closed: take another one from its dataset");
        }
    }

    private void checkIsHere(Position position) {
        List<Mixture.Part> parts = dataset.mixture().parts();
        boolean here = position.sources().size() == parts.size() && position.token() >= 0 && position.row() >= 0;
        for (int i = 0; here && i < parts.size(); i++) {
            Position.SourcePosition place = position.sources().get(i);
            int shards = parts.get(i).source().size();
            // Shuffled documents may have numbers of their own, which are not known yet.
            here = place.epoch() >= 0
                    && place.shard() >= 0
                    && (dataset.shuffles() || place.shard() < shards)
                    && place.document() >= 0
                    && place.drawn() >= 0;
        }
        if (!here) {
            String sizes = parts.stream().map(part -> "" + part.source().size()).collect(Collectors.joining(" and "));
            throw new IllegalArgumentException(position + " is not in this dataset of " + sizes
                    + " documents or shards: it was taken from another one");
        }
    }

    private Window current() {
        checkOpen();
        if (window == null) {
            window = packed();
            if (row > window.rows()) {
                throw new IllegalArgumentException(
                        "Row " + row + " is not in this dataset: the position was taken from another one");
            }
            ahead = pack(window.next());
            read = read.plus(window.begun());
        }
        return window;
    }

    private Window packed() {
        try {
            return await(ahead);
        } catch (RuntimeException e) {
            checkOpen(); // that is why
            throw e;
        }
    }

    private Future<Window> pack(Position start) {
        try {
            return background.submit(() -> packer.window(start));
        } catch (RejectedExecutionException e) {
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
