package org.nanodo.source;

import java.io.Closeable;
import java.io.IOException;
import java.util.Arrays;
import java.util.Iterator;

/** The documents of one shard from its first one on, always in the same order. For one thread at a time. */
public interface DocumentReader extends Closeable {
    /** The next document; null after the last, however often it is asked. */
    UnreadDocument next() throws IOException;

    @Override
    default void close() throws IOException {}

    /** Reads by {@code next}, which takes its documents from this one, and closes this one. */
    default DocumentReader reading(DocumentReader next) {
        DocumentReader all = this;
        return new DocumentReader() {
            @Override
            public UnreadDocument next() throws IOException {
                return next.next();
            }

            @Override
            public void close() throws IOException {
                all.close();
            }
        };
    }

    /** What a reader that has been closed answers. */
    static IllegalStateException closed(String name, Exception cause) {
        return new IllegalStateException("The reader of " + name + " is closed: open another one", cause);
    }

    static DocumentReader of(UnreadDocument... documents) {
        Iterator<UnreadDocument> rest = Arrays.asList(documents).iterator();
        return () -> rest.hasNext() ? rest.next() : null;
    }
}
