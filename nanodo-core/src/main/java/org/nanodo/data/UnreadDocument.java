package org.nanodo.data;

import java.io.IOException;

/** A document that is found but not yet decoded: finding is for one thread, reading for any. */
@FunctionalInterface
public interface UnreadDocument {
    /** A document without text is passed over. @throws CorruptDocumentException if this one alone cannot be used */
    Document read() throws IOException;

    /** What it holds in memory until it is read. */
    default int bytes() {
        return 0;
    }
}
