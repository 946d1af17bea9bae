package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;

/**
 * A file that documents come from, as it was when it was looked at. One edited in place has another size or time, even where
 * the edit is not in what a {@linkplain DocumentSource#fingerprint fingerprint} samples.
 *
 * @param name below what a user named, so that a corpus may move
 * @param bytes its size
 * @param modified when it was last written, in milliseconds since 1970
 */
public record DataFile(String name, long bytes, long modified) {
    static DataFile of(Path file) throws IOException {
        return of(file.getFileName().toString(), file);
    }

    static DataFile of(String name, Path file) throws IOException {
        BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
        return new DataFile(
                name, attributes.size(), attributes.lastModifiedTime().toMillis());
    }
}
