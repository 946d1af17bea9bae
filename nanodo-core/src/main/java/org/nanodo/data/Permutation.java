package org.nanodo.data;

import java.io.IOException;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.DocumentIndex;
import org.nanodo.source.DocumentSource;
import org.nanodo.source.Shuffle;

/** All documents of a source in one random order, another one every epoch. Takes four bytes a document. */
final class Permutation implements DocumentOrder {
    private final DocumentIndex index;
    private final DocumentSource source;
    private final long seed;
    private final long epochs;
    private long epoch;
    private int next;
    private int[] order; // of this epoch
    private long orderEpoch = -1;

    Permutation(DocumentIndex index, DocumentSource source, long seed, long epochs) {
        this.index = index;
        this.source = source;
        this.seed = seed;
        this.epochs = epochs;
    }

    /** Documents take the shards' part. */
    @Override
    public synchronized SourcePosition place() {
        return new SourcePosition(epoch, next, 0, 0, 0);
    }

    @Override
    public synchronized void seek(SourcePosition place) throws IOException {
        if (place.document() > 0 || place.drawn() > 0 || place.shard() > size()) {
            throw DocumentOrder.beyondTheEnd(place);
        }
        epoch = place.epoch();
        next = place.shard();
    }

    @Override
    public synchronized Entry next() throws IOException {
        if (next == size()) {
            epoch++;
            next = 0;
        }
        if (epoch >= epochs) {
            return null;
        }
        if (orderEpoch != epoch) {
            order = null; // before there is another one
            order = Shuffle.permutation(size(), seed, -epoch);
            orderEpoch = epoch;
        }
        SourcePosition place = place();
        return new Entry(place, index.document(order[next++]));
    }

    private int size() throws IOException {
        int size = index.first(source.size());
        if (size == 0) {
            throw DocumentOrder.noDocuments(source);
        }
        return size;
    }

    @Override
    public void close() {}
}
