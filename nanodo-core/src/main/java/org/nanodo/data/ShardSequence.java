package org.nanodo.data;

import java.io.IOException;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.DocumentReader;
import org.nanodo.source.DocumentSource;
import org.nanodo.source.Shuffle;
import org.nanodo.source.UnreadDocument;

/**
 * Documents shard after shard, each from its beginning, since that is how a compressed file can be read. Where shards are
 * shuffled, they come in another order every epoch.
 */
final class ShardSequence implements DocumentOrder {
    private final DocumentSource source;
    private final boolean shuffles;
    private final long seed;
    private final long epochs;
    private long epoch;
    private int shard;
    private int document;
    private int[] shards; // in the order of this epoch, if shuffled
    private long shardsEpoch = -1;
    private DocumentReader reader;
    private volatile boolean closed;

    ShardSequence(DocumentSource source, boolean shuffles, long seed, long epochs) {
        this.source = source;
        this.shuffles = shuffles;
        this.seed = seed;
        this.epochs = epochs;
    }

    @Override
    public synchronized SourcePosition place() {
        return new SourcePosition(epoch, shard, document, 0, 0);
    }

    /** At the cost of going through the shard up to there. */
    @Override
    public synchronized void seek(SourcePosition place) throws IOException {
        if (place.shard() >= source.size()) {
            throw DocumentOrder.beyondTheEnd(place);
        }
        moveTo(place.epoch(), place.shard());
        while (document < place.document()) {
            if (nextOfShard() == null) {
                throw DocumentOrder.beyondTheEnd(place);
            }
        }
    }

    @Override
    public synchronized Entry next() throws IOException {
        while (epoch < epochs) {
            UnreadDocument next = nextOfEpoch();
            if (next != null) {
                return new Entry(new SourcePosition(epoch, shard, document - 1, 0, 0), next);
            }
        }
        return null;
    }

    /** The next document of this epoch; null if there is none any more, and then the next epoch has begun. */
    synchronized UnreadDocument nextOfEpoch() throws IOException {
        boolean isWhole = shard == 0 && document == 0;
        while (true) {
            UnreadDocument next = nextOfShard();
            if (next != null) {
                return next;
            }
            if (shard + 1 == source.size()) {
                moveTo(epoch + 1, 0);
                if (isWhole) {
                    throw DocumentOrder.noDocuments(source);
                }
                return null;
            }
            moveTo(epoch, shard + 1);
        }
    }

    private UnreadDocument nextOfShard() throws IOException {
        if (closed) {
            throw new IllegalStateException("Closed");
        }
        if (reader == null) {
            open();
        }
        UnreadDocument next = reader.next();
        document += next == null ? 0 : 1;
        return next;
    }

    private void open() throws IOException {
        if (shuffles && shardsEpoch != epoch) {
            shards = Shuffle.permutation(source.size(), seed, -epoch);
            shardsEpoch = epoch;
        }
        reader = source.open(shuffles ? shards[shard] : shard);
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
        closed = true; // ends what fills a buffer
        try {
            synchronized (this) {
                closeReader();
            }
        } catch (IOException e) {
            // It was only read, and is read no more.
        }
    }
}
