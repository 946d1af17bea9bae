package org.nanodo.source;

import java.io.IOException;

/** Thrown when one document cannot be used, but those around it can. {@link TextSource#skipCorrupt} skips such documents. */
public final class CorruptDocumentException extends IOException {
    private static final long serialVersionUID = 1;

    public CorruptDocumentException(String message) {
        super(message);
    }
}
