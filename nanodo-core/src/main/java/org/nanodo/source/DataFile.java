package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/**
 * The state of a file that documents are read from. An edit in place changes the file's size or time, even where it misses
 * the parts that a {@linkplain DocumentSource#fingerprint fingerprint} samples.
 *
 * @param name the path below the directory that the user named, so that a corpus may move
 * @param bytes the file's size
 * @param modified the time of the last modification, in milliseconds since 1970
 */
public record DataFile(String name, long bytes, long modified) {
    static DataFile of(String name, Path file) throws IOException {
        BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
        return new DataFile(
                name, attributes.size(), attributes.lastModifiedTime().toMillis());
    }

    static List<DataFile> all(List<Path> files) throws IOException {
        var all = new ArrayList<DataFile>();
        for (Path file : files) {
            all.add(of(file.getFileName().toString(), file));
        }
        return all;
    }

    /**
     * Describes the first file that differs between two lists; returns null if they agree.
     *
     * @param times whether times are compared: a copy on another host has its own
     */
    public static String firstChange(List<DataFile> before, List<DataFile> now, boolean times) {
        for (int i = 0; i < Math.max(before.size(), now.size()); i++) {
            DataFile then = i < before.size() ? before.get(i) : null;
            DataFile file = i < now.size() ? now.get(i) : null;
            if (then == null || file == null || !then.equals(times ? file : file.at(then.modified))) {
                return (then == null ? file : then).name + " was " + described(then) + ", it is now " + described(file);
            }
        }
        return null;
    }

    private DataFile at(long modified) {
        return new DataFile(name, bytes, modified);
    }

    private static String described(DataFile file) {
        return file == null ? "missing" : file.bytes + " bytes, written at " + Instant.ofEpochMilli(file.modified);
    }
}
