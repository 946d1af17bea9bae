package org.nanodo.data;

import java.io.IOException;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.DocumentIndex;
import org.nanodo.source.DocumentSource;
import org.nanodo.source.Shuffle;
import org.nanodo.source.UnreadDocument;

/**
 * The documents of one source in training order, not yet read, epoch after epoch. The documents after a position depend only
 * on the position and the seed, so that any position can be found again. Safe for use by several threads.
 */
abstract class DocumentOrder implements AutoCloseable {
    record Entry(SourcePosition position, UnreadDocument document) {}

    final DocumentSource source;
    final long seed;
    final long epochs;
    private int[] shuffled;
    private long shuffledEpoch = -1;

    DocumentOrder(DocumentSource source, long seed, long epochs) {
        this.source = source;
        this.seed = seed;
        this.epochs = epochs;
    }

    /** Returns the order of one of the dataset's sources. */
    static DocumentOrder of(PackedDataset dataset, int part) {
        DocumentSource source = dataset.mixture().parts().get(part).source();
        if (!dataset.shuffles()) {
            return new ShardSequence(source, false, 0, dataset.epochs());
        }
        long seed = dataset.seed() + part;
        DocumentIndex index = dataset.index(source);
        return index == null
                ? new ShuffleBuffer(source, seed, dataset.epochs(), dataset.bufferOfEach())
                : new Permutation(index, source, seed, dataset.epochs());
    }

    /** Returns the position of the next document, which may be the end of a shard. */
    abstract SourcePosition position();

    /**
     * Moves to a position, so that its document is the next one.
     *
     * @throws IllegalArgumentException if the position does not exist
     */
    abstract void seek(SourcePosition position) throws IOException;

    /** Returns null after the last epoch. @throws IllegalArgumentException if a whole epoch has no document */
    abstract Entry next() throws IOException;

    @Override
    public abstract void close();

    /** Returns an element of an epoch's random permutation of 0 to size - 1. */
    final int shuffled(int index, int size, long epoch) {
        if (shuffledEpoch != epoch) {
            shuffled = null; // free it before the next one is allocated
            shuffled = Shuffle.permutation(size, seed, -epoch);
            shuffledEpoch = epoch;
        }
        return shuffled[index];
    }

    static IllegalArgumentException beyondTheEnd(SourcePosition position) {
        return new IllegalArgumentException(
                position + " is beyond the end of its shard: it belongs to another dataset");
    }

    final IllegalArgumentException noDocuments() {
        return new IllegalArgumentException("The source has no documents: none of its " + source.size()
                + " shards has one, such as " + source.name(0));
    }
}
