package org.nanodo.data;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.DocumentSource;
import org.nanodo.source.Shuffle;
import org.nanodo.source.UnreadDocument;

/**
 * A shuffle of documents that can only be read in order. Each epoch has another order of shards, whose consecutive documents
 * fill a buffer that is served in random order and then refilled. The buffer may extend across shards, but not across epochs.
 * A position consists of the position of the buffer's first document and the number of documents drawn from the buffer.
 */
final class ShuffleBuffer extends DocumentOrder {
    /** The approximate memory of a document besides its bytes: many small documents must not far exceed the buffer's size. */
    private static final int OVERHEAD = 256;

    private final ShardSequence documents;
    private final long bytes;
    private final List<UnreadDocument> buffer = new ArrayList<>();
    private int[] order;
    private int drawn;
    private SourcePosition start;
    private boolean isFilling; // remains true after a failure: then the whole buffer is still to be served

    ShuffleBuffer(DocumentSource source, long seed, long epochs, long bytes) {
        super(source, seed, epochs);
        this.documents = new ShardSequence(source, true, seed, epochs);
        this.bytes = bytes;
    }

    @Override
    synchronized SourcePosition position() {
        return isFilling || drawn < buffer.size()
                ? new SourcePosition(start.epoch(), start.shard(), start.document(), drawn, 0)
                : documents.position();
    }

    @Override
    synchronized void seek(SourcePosition position) throws IOException {
        empty();
        documents.seek(position);
        if (position.drawn() > 0) {
            fill();
            if (position.drawn() > buffer.size()) {
                throw beyondTheEnd(position);
            }
            drawn = position.drawn();
        }
    }

    @Override
    synchronized Entry next() throws IOException {
        if (drawn == buffer.size()) {
            fill();
            if (buffer.isEmpty()) {
                return null;
            }
        }
        SourcePosition position = position();
        UnreadDocument next = buffer.set(order[drawn++], null); // the caller holds it from now on
        return new Entry(position, next);
    }

    /** Refills the buffer; after the last epoch it remains empty. */
    private void fill() throws IOException {
        empty();
        while (buffer.isEmpty() && documents.position().epoch() < epochs) {
            start = documents.position();
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
            long turn = (start.epoch() * source.size() + start.shard()) << 32 | start.document();
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
