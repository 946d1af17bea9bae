package org.nanodo.source;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.IntFunction;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;

/** The sources of {@link TextSource}'s factories whose documents can be read individually. */
final class TextSources {
    private TextSources() {}

    @FunctionalInterface
    interface Reader {
        Document read(int index) throws IOException;
    }

    @FunctionalInterface
    interface FileList {
        List<DataFile> files() throws IOException;
    }

    record Indexed(int size, IntFunction<String> names, FileList list, Reader reader) implements IndexedTextSource {
        @Override
        public String name(int index) {
            return names.apply(index);
        }

        @Override
        public List<DataFile> files() throws IOException {
            return list.files();
        }

        @Override
        public Document read(int index) throws IOException {
            return reader.read(index);
        }
    }

    static IndexedTextSource ofFile(Path file, int size, IntFunction<String> names, Reader reader) {
        return new Indexed(size, names, () -> DataFile.all(List.of(file)), reader);
    }

    static IndexedTextSource of(List<String> texts) {
        IntFunction<String> names = index -> "text " + index;
        return new Indexed(
                texts.size(), names, List::of, index -> new Document(names.apply(index), texts.get(index), 0));
    }

    static IndexedTextSource files(Path... paths) throws IOException {
        var files = new ArrayList<Path>();
        var names = new ArrayList<String>(); // relative to the given directories
        for (Path path : paths) {
            if (Files.isDirectory(path)) {
                int before = files.size();
                try (var below = Files.walk(path)) {
                    below.filter(file -> isText(path, file)).sorted().forEach(file -> {
                        files.add(file);
                        names.add(path.relativize(file).toString());
                    });
                }
                if (files.size() == before) {
                    throw new IllegalArgumentException(path + " has no files with text in it");
                }
            } else {
                checkNotEmpty(path);
                files.add(path);
                names.add(path.getFileName().toString());
            }
        }
        FileList list = () -> DataFile.all(files, names);
        return new Indexed(files.size(), index -> files.get(index).toString(), list, index -> {
            Path file = files.get(index);
            Document.checkLength(Files.size(file));
            try (var in = Files.newInputStream(file)) {
                return Document.read(file.toString(), in);
            }
        });
    }

    static IndexedTextSource archive(Path zip) throws IOException {
        checkNotEmpty(zip);
        try {
            var file = new ZipFile(zip.toFile()); // closed by its cleaner, because a source is not closed
            List<? extends ZipEntry> entries = file.stream()
                    .filter(entry -> !entry.isDirectory() && entry.getSize() != 0)
                    .sorted(Comparator.comparing(ZipEntry::getName))
                    .toList();
            IntFunction<String> names =
                    index -> zip.getFileName() + "!/" + entries.get(index).getName();
            return ofFile(zip, entries.size(), names, index -> {
                ZipEntry entry = entries.get(index);
                var checksum = new CRC32(); // ZipFile itself does not verify it
                try (var in = new CheckedInputStream(file.getInputStream(entry), checksum)) {
                    Document document = Document.read(names.apply(index), in);
                    if (checksum.getValue() != entry.getCrc()) {
                        throw new ZipException("the entry's checksum does not match: " + zip + " is damaged");
                    }
                    return document;
                }
            });
        } catch (ZipException e) {
            throw new IOException(zip + " is not a jar or zip archive: " + e.getMessage(), e);
        }
    }

    static IndexedTextSource subset(IndexedTextSource source, int[] indices) {
        if (indices.length == 0) {
            throw new IllegalArgumentException("None of the " + source.size() + " documents is chosen");
        }
        return new Indexed(
                indices.length,
                index -> source.name(indices[index]),
                source::files,
                index -> source.read(indices[index]));
    }

    static void checkNotEmpty(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file + " does not exist");
        }
        if (Files.isDirectory(file)) {
            throw new IllegalArgumentException(file + " is a directory, not a file");
        }
        if (!Files.isReadable(file)) {
            throw new AccessDeniedException(file + " may not be read by this user");
        }
        if (Files.size(file) == 0) {
            throw new IllegalArgumentException(file + " is empty: there is no text to learn from");
        }
    }

    private static boolean isText(Path root, Path file) {
        try {
            String separator = file.getFileSystem().getSeparator();
            boolean hidden = (separator + root.relativize(file)).contains(separator + ".");
            return !hidden && Files.isRegularFile(file) && Files.size(file) > 0;
        } catch (IOException e) {
            return false;
        }
    }
}
