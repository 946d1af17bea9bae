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
 * A folder's files with their lengths and SHA-256, in {@code manifest.json}: written last, read first.
 *
 * @param files by name
 */
public record Manifest(Map<String, Entry> files) {
    /** The manifest's own name. */
    public static final String NAME = "manifest.json";

    private static final int BUFFER = 1 << 20;

    /** @param sha256 in lower-case hexadecimal digits */
    public record Entry(long length, String sha256) {
        static Entry of(long length, MessageDigest digest) {
            return new Entry(length, HexFormat.of().formatHex(digest.digest()));
        }

        /** Reads a file. */
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
            throw new IllegalArgumentException("A manifest without files");
        }
        for (var file : files.entrySet()) {
            if (!file.getKey().matches("\\w[\\w.-]*") || file.getKey().equals(NAME)) {
                throw new IllegalArgumentException(
                        "\"" + file.getKey() + "\" is no name for a file beside the manifest");
            }
            if (file.getValue() == null || file.getValue().sha256 == null) {
                throw new IllegalArgumentException(file.getKey() + " lacks its SHA-256");
            }
        }
        files = new TreeMap<>(files);
    }

    /** Reads a folder's manifest without a look at the files. */
    public static Manifest read(Path directory) throws IOException {
        if (!isIn(directory)) {
            throw new CorruptFileException(directory.resolve(NAME), "is missing");
        }
        return Json.read(directory.resolve(NAME), Manifest.class);
    }

    /** Whether a directory has one, valid or not. Those of other origin have none. */
    public static boolean isIn(Path directory) {
        return Files.exists(directory.resolve(NAME), LinkOption.NOFOLLOW_LINKS);
    }

    /** The files of a directory that may be read: those that its manifest lists, or all where it has none. */
    public static Set<String> names(Path directory) throws IOException {
        if (isIn(directory)) {
            return read(directory).files.keySet();
        }
        try (var paths = Files.list(directory)) {
            return paths.map(path -> path.getFileName().toString()).collect(Collectors.toSet());
        }
    }

    /**
     * Checks all files of a folder, at the price of reading them.
     *
     * @throws CorruptFileException if the manifest or a file of it is missing, unreadable or not as it was written
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
                throw e; // it could not be opened: says nothing of what is in it
            }
            throw new CorruptFileException(directory, "cannot be read: " + e, e);
        }
    }

    /**
     * Checks some files of a directory, if it has a manifest.
     *
     * @throws CorruptFileException if one is not as it was written, or not listed
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
            throw new CorruptFileException(file, "is not listed in " + NAME + " beside it, so it is not read");
        }
        if (!Files.isRegularFile(file)) {
            throw new CorruptFileException(file, "is missing");
        }
        long length = Files.size(file);
        if (length != written.length) {
            throw new CorruptFileException(
                    file,
                    "has " + length + " bytes, " + written.length + " were written"
                            + (length < written.length ? ": it is truncated" : ""));
        }
        if (!Entry.of(file).equals(written)) {
            throw new CorruptFileException(file, "is not as it was written: its SHA-256 is not that in " + NAME);
        }
    }
}
