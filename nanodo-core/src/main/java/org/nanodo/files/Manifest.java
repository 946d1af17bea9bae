package org.nanodo.files;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.Collection;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * The lengths and SHA-256 of a directory's files, in its file {@code manifest.json}, which is written last and read first.
 *
 * @param files the entries by the files' names
 */
public record Manifest(Map<String, Entry> files) {
    /** The manifest's own file name. */
    public static final String NAME = "manifest.json";

    private static final int BUFFER = 1 << 20;

    /** A file's length in bytes and its SHA-256 in lower-case hexadecimal digits. */
    public record Entry(long length, String sha256) {
        static Entry of(long length, MessageDigest digest) {
            return new Entry(length, HexFormat.of().formatHex(digest.digest()));
        }

        /** Computes a file's entry by reading it. */
        static Entry of(Path file) throws IOException {
            MessageDigest digest = Bytes.newSha256();
            long length = 0;
            try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
                ByteBuffer buffer = ByteBuffer.allocate(BUFFER);
                while (channel.read(buffer.clear()) >= 0) {
                    length += buffer.position();
                    digest.update(buffer.flip());
                }
            }
            return of(length, digest);
        }
    }

    public Manifest {
        if (files == null) {
            throw new IllegalArgumentException("A manifest must have \"files\"");
        }
        for (var file : files.entrySet()) {
            if (!file.getKey().matches("\\w[\\w.-]*") || file.getKey().equals(NAME)) {
                throw new IllegalArgumentException(
                        "\"" + file.getKey() + "\" is not the name of a file in the manifest's directory");
            }
            if (file.getValue() == null || file.getValue().sha256 == null) {
                throw new IllegalArgumentException(file.getKey() + " lacks its SHA-256");
            }
        }
        files = new TreeMap<>(files);
    }

    /** Reads a directory's manifest without checking the files. */
    public static Manifest read(Path directory) throws IOException {
        if (!isIn(directory)) {
            throw new CorruptFileException(directory.resolve(NAME), "is missing");
        }
        return Json.read(directory.resolve(NAME), Manifest.class);
    }

    /** Returns whether a directory has a manifest, valid or not. Directories from elsewhere have none. */
    public static boolean isIn(Path directory) {
        return Files.exists(directory.resolve(NAME), LinkOption.NOFOLLOW_LINKS);
    }

    /** Returns the names of the files that may be read: those that the manifest lists or, without a manifest, all. */
    public static Set<String> names(Path directory) throws IOException {
        if (isIn(directory)) {
            return read(directory).files.keySet();
        }
        try (var paths = Files.list(directory)) {
            return paths.map(path -> path.getFileName().toString()).collect(Collectors.toSet());
        }
    }

    /**
     * Verifies all files of a directory, which reads them whole.
     *
     * @throws CorruptFileException if the manifest or a listed file is missing, unreadable or not as it was written
     */
    public static void verify(Path directory) throws IOException {
        try {
            Manifest manifest = read(directory);
            for (String name : manifest.files.keySet()) {
                manifest.verify(directory, name);
            }
        } catch (CorruptFileException e) {
            throw e;
        } catch (IOException e) {
            if (e instanceof FileSystemException && !(e instanceof NoSuchFileException)) {
                throw e; // a file could not be opened, which does not mean that it is corrupt
            }
            throw new CorruptFileException(directory, "cannot be read: " + e, e);
        }
    }

    /**
     * Verifies some files of a directory if it has a manifest.
     *
     * @throws CorruptFileException if one of them is not listed, or not as it was written
     */
    public static void verify(Path directory, Collection<String> names) throws IOException {
        if (isIn(directory)) {
            Manifest manifest = read(directory);
            for (String name : names) {
                manifest.verify(directory, name);
            }
        }
    }

    private void verify(Path directory, String name) throws IOException {
        Path file = directory.resolve(name);
        Entry written = files.get(name);
        if (written == null) {
            throw new CorruptFileException(
                    file, "is not listed in " + NAME + " beside it, and is not read for that reason");
        }
        if (!Files.isRegularFile(file)) {
            throw new CorruptFileException(file, "is missing");
        }
        long length = Files.size(file);
        if (length != written.length) {
            throw new CorruptFileException(
                    file,
                    "has " + length + " bytes, but " + written.length + " were written"
                            + (length < written.length ? ": it is truncated" : ""));
        }
        if (!Entry.of(file).equals(written)) {
            throw new CorruptFileException(file, "is not as it was written: its SHA-256 differs from that in " + NAME);
        }
    }
}
