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
    static List<DataFile> all(List<Path> files) throws IOException {
        return all(
                files, files.stream().map(file -> file.getFileName().toString()).toList());
    }

    static List<DataFile> all(List<Path> files, List<String> names) throws IOException {
        var all = new ArrayList<DataFile>();
        for (int i = 0; i < files.size(); i++) {
            var attributes = Files.readAttributes(files.get(i), BasicFileAttributes.class);
            long modified = attributes.lastModifiedTime().toMillis();
            all.add(new DataFile(names.get(i), attributes.size(), modified));
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
