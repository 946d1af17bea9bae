package org.nanodo.files;

import java.io.IOException;
import java.nio.file.Path;

/** Thrown when a file's content is not valid for its format. */
public final class CorruptFileException extends IOException {
    private static final long serialVersionUID = 1;

    public CorruptFileException(Path file, String reason) {
        this(file, reason, null);
    }

    public CorruptFileException(Path file, String reason, Throwable cause) {
        super(file + ": " + reason, cause);
    }
}
