package org.nanodo.source;

import java.io.IOException;
import java.util.List;

/**
 * Documents in numbered shards, as texts or as tokens. A shard is read from its beginning, when its turn comes: nothing is asked
 * of it before, not even how many documents it has, so that training on a thousand compressed files can begin at once. Going
 * on in the middle of a shard reads what is before the place again. Where documents can be read each on its own
 * ({@link IndexedTextSource}, {@link TokenSource}), each is a shard, and any place is found at once.
 */
public interface DocumentSource {
    /** Shards. */
    int size();

    /** What a message would call a shard: its path, say. */
    String name(int shard);

    DocumentReader open(int shard) throws IOException;

    /**
     * The documents by number, where any can be read without those before it: they are then shuffled as a whole. Null, if they
     * cannot. Asking costs little, what is found out about the files comes later.
     */
    default DocumentIndex index() {
        return null;
    }

    /** Tells one corpus from another. */
    String fingerprint() throws IOException;

    /** The files that documents come from, always in the same order; none of texts at hand. */
    default List<DataFile> files() throws IOException {
        return List.of();
    }
}
