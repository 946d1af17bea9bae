package org.nanodo.source;

import java.io.IOException;
import java.util.List;

/**
 * Documents in numbered shards, as texts or as tokens. A shard is opened when its turn comes and read from its beginning; its
 * number of documents need not be known, so that training on a thousand compressed files can begin at once. To resume in the
 * middle of a shard, the documents before that position are read again. Where documents can be read individually
 * ({@link IndexedTextSource}, {@link TokenSource}), each is a shard, and any position is found at once.
 */
public interface DocumentSource {
    /** Returns the number of shards. */
    int size();

    /** Returns the name of a shard for messages, such as its path. */
    String name(int shard);

    DocumentReader open(int shard) throws IOException;

    /**
     * Returns the documents by number, or null if they can only be read in order. Documents with an index are shuffled as a
     * whole. The call is cheap: files are searched when the index is first used.
     */
    default DocumentIndex index() {
        return null;
    }

    /** Returns a text that distinguishes this corpus from others. */
    String fingerprint() throws IOException;

    /** Returns the files that documents are read from, always in the same order; empty if there are none. */
    default List<DataFile> files() throws IOException {
        return List.of();
    }
}
