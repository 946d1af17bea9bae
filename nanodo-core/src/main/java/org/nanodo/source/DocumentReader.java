package org.nanodo.source;

import java.io.Closeable;
import java.io.IOException;
import java.util.Arrays;
import java.util.Iterator;

/** Reads the documents of one shard from the first one on, always in the same order. Used by one thread at a time. */
public interface DocumentReader extends Closeable {
    /** Returns the next document; null after the last, however often it is called. */
    UnreadDocument next() throws IOException;

    @Override
    default void close() throws IOException {}

    static DocumentReader of(UnreadDocument... documents) {
        Iterator<UnreadDocument> rest = Arrays.asList(documents).iterator();
        return () -> rest.hasNext() ? rest.next() : null;
    }
}
