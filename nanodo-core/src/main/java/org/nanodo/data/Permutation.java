package org.nanodo.data;

import java.io.IOException;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.DocumentIndex;
import org.nanodo.source.DocumentSource;

/** All documents of a source in one random order, another one every epoch. Keeps four bytes of memory per document. */
final class Permutation extends DocumentOrder {
    private final DocumentIndex index;
    private long epoch;
    private int next;

    Permutation(DocumentIndex index, DocumentSource source, long seed, long epochs) {
        super(source, seed, epochs);
        this.index = index;
    }

    /** Returns a position that counts documents as shards. */
    @Override
    synchronized SourcePosition position() {
        return new SourcePosition(epoch, next, 0, 0, 0);
    }

    @Override
    synchronized void seek(SourcePosition position) throws IOException {
        if (position.document() > 0 || position.drawn() > 0 || position.shard() > size()) {
            throw beyondTheEnd(position);
        }
        epoch = position.epoch();
        next = position.shard();
    }

    @Override
    synchronized Entry next() throws IOException {
        if (next == size()) {
            epoch++;
            next = 0;
        }
        if (epoch >= epochs) {
            return null;
        }
        var entry = new Entry(position(), index.document(shuffled(next, size(), epoch)));
        next++;
        return entry;
    }

    private int size() throws IOException {
        int size = index.first(source.size());
        if (size == 0) {
            throw noDocuments();
        }
        return size;
    }

    @Override
    public void close() {}
}
