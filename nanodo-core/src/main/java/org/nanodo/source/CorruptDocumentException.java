package org.nanodo.source;

import java.io.IOException;

/** One document cannot be used, those around it can. {@link TextSource#skipCorrupt} passes over such documents. */
public final class CorruptDocumentException extends IOException {
    private static final long serialVersionUID = 1;

    public CorruptDocumentException(String message) {
        super(message);
    }
}
