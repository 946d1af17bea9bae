package org.nanodo.data;

import java.io.IOException;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.DocumentIndex;
import org.nanodo.source.DocumentSource;
import org.nanodo.source.UnreadDocument;

/**
 * The documents of one source in the order of training, not yet read, epoch after epoch. What follows a place depends on the
 * place and the seed alone, so that any can be found again. Its methods may be called by any thread.
 */
interface DocumentOrder extends AutoCloseable {
    record Entry(SourcePosition place, UnreadDocument document) {}

    /** The order of one of the dataset's sources. */
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

    /** Of the next document, as far as it is known that the shard goes on. */
    SourcePosition place();

    /**
     * Makes that place's document the next one.
     *
     * @throws IllegalArgumentException if there is no such place
     */
    void seek(SourcePosition place) throws IOException;

    /** Null after the last epoch. @throws IllegalArgumentException if a whole epoch has no document */
    Entry next() throws IOException;

    @Override
    void close();

    static IllegalArgumentException beyondTheEnd(SourcePosition place) {
        return new IllegalArgumentException(
                place + " is beyond the end of its shard: it was taken from another dataset");
    }

    static IllegalArgumentException noDocuments(DocumentSource source) {
        return new IllegalArgumentException("The source has no documents: none of its " + source.size()
                + " shards has one, such as " + source.name(0));
    }
}
