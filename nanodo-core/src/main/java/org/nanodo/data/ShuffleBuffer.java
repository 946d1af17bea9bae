package org.nanodo.data;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.DocumentSource;
import org.nanodo.source.Shuffle;
import org.nanodo.source.UnreadDocument;

/**
 * Documents that can only be read in order: shards come in another order every epoch, and what follows one another in them is
 * put into a buffer, which is served in random order and then filled anew. The buffer reaches from one shard into the next,
 * not from one epoch into the next. A place is where the buffer's first document is, and how many have been drawn from it.
 */
final class ShuffleBuffer implements DocumentOrder {
    /** What a document takes besides its bytes, about: many small ones may not take far more than the buffer's size. */
    private static final int OVERHEAD = 256;

    private final ShardSequence documents;
    private final long seed;
    private final long epochs;
    private final long bytes;
    private final int shards;
    private final List<UnreadDocument> buffer = new ArrayList<>();
    private int[] order;
    private int drawn;
    private SourcePosition start;
    private boolean isFilling; // or has failed to: then all of it is still to come

    ShuffleBuffer(DocumentSource source, long seed, long epochs, long bytes) {
        this.documents = new ShardSequence(source, true, seed, epochs);
        this.seed = seed;
        this.epochs = epochs;
        this.bytes = bytes;
        this.shards = source.size();
    }

    @Override
    public synchronized SourcePosition place() {
        return isFilling || drawn < buffer.size()
                ? new SourcePosition(start.epoch(), start.shard(), start.document(), drawn, 0)
                : documents.place();
    }

    @Override
    public synchronized void seek(SourcePosition place) throws IOException {
        empty();
        documents.seek(place);
        if (place.drawn() > 0) {
            fill();
            if (place.drawn() > buffer.size()) {
                throw DocumentOrder.beyondTheEnd(place);
            }
            drawn = place.drawn();
        }
    }

    @Override
    public synchronized Entry next() throws IOException {
        if (drawn == buffer.size()) {
            fill();
            if (buffer.isEmpty()) {
                return null;
            }
        }
        SourcePosition place = place();
        UnreadDocument next = buffer.set(order[drawn++], null); // others hold it from now on
        return new Entry(place, next);
    }

    /** With nothing, after the last epoch. */
    private void fill() throws IOException {
        empty();
        while (buffer.isEmpty() && documents.place().epoch() < epochs) {
            start = documents.place();
            isFilling = true;
            for (long size = 0; size < bytes; ) {
                UnreadDocument next = documents.nextOfEpoch();
                if (next == null) {
                    break;
                }
                buffer.add(next);
                size += next.bytes() + OVERHEAD;
                checkFits(size);
            }
        }
        isFilling = false;
        if (!buffer.isEmpty()) {
            long turn = (start.epoch() * shards + start.shard()) << 32 | start.document();
            order = Shuffle.permutation(buffer.size(), ~seed, turn);
        }
    }

    private void checkFits(long size) {
        long memory = Runtime.getRuntime().maxMemory();
        if (size > memory / 2) {
            buffer.clear();
            throw new IllegalArgumentException("A shuffle buffer of " + bytes + " bytes takes more than half of the "
                    + (memory >> 20) + " MiB that this JVM may use: set a smaller one, or raise -Xmx");
        }
    }

    private void empty() {
        buffer.clear();
        drawn = 0;
        isFilling = false;
    }

    @Override
    public void close() {
        documents.close();
    }
}
