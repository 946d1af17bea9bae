package org.nanodo.data;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.nanodo.data.NoamPacker.Window;

/**
 * Batches of a {@link PackedDataset}, in its order, packed in the background a window ahead. For use by one
 * thread at a time.
 */
public final class BatchIterator implements Iterator<Batch>, AutoCloseable {
    private final PackedDataset dataset;
    private final NoamPacker packer;
    private final ExecutorService background = Executors.newSingleThreadExecutor(task -> {
        var thread = new Thread(task, "nanodo-packer");
        thread.setDaemon(true);
        return thread;
    });
    private Future<Window> ahead;
    private Window window;
    private int row;
    private TextSize read = TextSize.NONE;

    BatchIterator(PackedDataset dataset) {
        this.dataset = dataset;
        this.packer = new NoamPacker(dataset);
        seek(Position.START);
    }

    /** Where the next batch comes from. Another iterator over an equal dataset goes on there after {@link #seek}. */
    public Position position() {
        Window current = current();
        Position start = current.start();
        return row == current.rows() && row > 0
                ? current.next()
                : new Position(start.epoch(), start.document(), start.token(), row);
    }

    public void seek(Position position) {
        if (position.document() < 0 || position.document() >= dataset.source().size() || position.row() < 0) {
            throw new IllegalArgumentException(position + " is not in this dataset of "
                    + dataset.source().size() + " documents: it was taken from another one");
        }
        if (ahead != null) {
            ahead.cancel(false);
        }
        window = null;
        read = TextSize.NONE;
        row = position.row();
        ahead = pack(new Position(position.epoch(), position.document(), position.token(), 0));
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
     * @throws java.io.UncheckedIOException if a document cannot be read
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
        return read;
    }

    @Override
    public void close() {
        background.shutdownNow();
        packer.close();
    }

    private Window current() {
        if (window == null) {
            window = await(ahead);
            if (row > window.rows()) {
                throw new IllegalArgumentException(
                        "Row " + row + " is not in this dataset: the position was taken from another one");
            }
            ahead = pack(window.next());
            read = read.plus(window.begun());
        }
        return window;
    }

    private Future<Window> pack(Position start) {
        return background.submit(() -> packer.window(start));
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
