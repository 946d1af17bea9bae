package org.nanodo.data;

import java.io.IOException;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.DocumentReader;
import org.nanodo.source.DocumentSource;
import org.nanodo.source.UnreadDocument;

/**
 * The documents shard after shard, each read from its beginning, as compressed files must be. If shards are shuffled, each
 * epoch has another order of shards.
 */
final class ShardSequence extends DocumentOrder {
    private final boolean shuffles;
    private long epoch;
    private int shard;
    private int document;
    private DocumentReader reader;
    private volatile boolean closed;

    ShardSequence(DocumentSource source, boolean shuffles, long seed, long epochs) {
        super(source, seed, epochs);
        this.shuffles = shuffles;
    }

    @Override
    synchronized SourcePosition position() {
        return new SourcePosition(epoch, shard, document, 0, 0);
    }

    /** Moves to a position by reading its shard up to there. */
    @Override
    synchronized void seek(SourcePosition position) throws IOException {
        if (position.shard() >= source.size()) {
            throw beyondTheEnd(position);
        }
        moveTo(position.epoch(), position.shard());
        while (document < position.document()) {
            if (nextOfShard() == null) {
                throw beyondTheEnd(position);
            }
        }
    }

    @Override
    synchronized Entry next() throws IOException {
        while (epoch < epochs) {
            UnreadDocument next = nextOfEpoch();
            if (next != null) {
                return new Entry(new SourcePosition(epoch, shard, document - 1, 0, 0), next);
            }
        }
        return null;
    }

    /** Returns the next document of this epoch; null at its end, where the next epoch begins. */
    synchronized UnreadDocument nextOfEpoch() throws IOException {
        boolean whole = shard == 0 && document == 0;
        while (true) {
            UnreadDocument next = nextOfShard();
            if (next != null) {
                return next;
            }
            if (shard + 1 == source.size()) {
                moveTo(epoch + 1, 0);
                if (whole) {
                    throw noDocuments();
                }
                return null;
            }
            moveTo(epoch, shard + 1);
        }
    }

    private UnreadDocument nextOfShard() throws IOException {
        if (closed) {
            throw new IllegalStateException("The order of documents is closed");
        }
        if (reader == null) {
            reader = source.open(shuffles ? shuffled(shard, source.size(), epoch) : shard);
        }
        UnreadDocument next = reader.next();
        document += next == null ? 0 : 1;
        return next;
    }

    private void moveTo(long epoch, int shard) throws IOException {
        closeReader();
        this.epoch = epoch;
        this.shard = shard;
        document = 0;
    }

    private void closeReader() throws IOException {
        if (reader != null) {
            reader.close();
            reader = null;
        }
    }

    @Override
    public void close() {
        closed = true; // ends the filling of a buffer
        try {
            synchronized (this) {
                closeReader();
            }
        } catch (IOException e) {
            // The reader is no longer used.
        }
    }
}
