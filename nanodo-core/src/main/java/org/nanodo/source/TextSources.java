package org.nanodo.source;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;

/** Where the documents of {@link TextSource}'s factories come from. */
final class TextSources {
    private TextSources() {}

    static IndexedTextSource of(List<String> texts) {
        return new IndexedTextSource() {
            @Override
            public int size() {
                return texts.size();
            }

            @Override
            public String name(int index) {
                return "text " + index;
            }

            @Override
            public Document read(int index) {
                return new Document(name(index), texts.get(index), 0);
            }
        };
    }

    static IndexedTextSource files(Path... paths) throws IOException {
        var files = new ArrayList<Path>();
        var names = new ArrayList<String>(); // below the directories named here
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
        return new IndexedTextSource() {
            @Override
            public List<DataFile> files() throws IOException {
                var all = new ArrayList<DataFile>();
                for (int i = 0; i < files.size(); i++) {
                    all.add(DataFile.of(names.get(i), files.get(i)));
                }
                return all;
            }

            @Override
            public int size() {
                return files.size();
            }

            @Override
            public String name(int index) {
                return files.get(index).toString();
            }

            @Override
            public Document read(int index) throws IOException {
                if (Files.size(files.get(index)) > Document.MAX_BYTES) {
                    throw Document.tooLong();
                }
                try (var in = Files.newInputStream(files.get(index))) {
                    return Document.read(name(index), in);
                }
            }
        };
    }

    static IndexedTextSource archive(Path zip) throws IOException {
        checkNotEmpty(zip);
        try {
            var file = new ZipFile(zip.toFile()); // closed by its cleaner: a source has no end of its own
            List<? extends ZipEntry> entries = file.stream()
                    .filter(entry -> !entry.isDirectory() && entry.getSize() != 0)
                    .sorted(Comparator.comparing(ZipEntry::getName))
                    .toList();
            return new IndexedTextSource() {
                @Override
                public List<DataFile> files() throws IOException {
                    return List.of(DataFile.of(zip));
                }

                @Override
                public int size() {
                    return entries.size();
                }

                @Override
                public String name(int index) {
                    return zip.getFileName() + "!/" + entries.get(index).getName();
                }

                @Override
                public Document read(int index) throws IOException {
                    ZipEntry entry = entries.get(index);
                    var checksum = new CRC32(); // which ZipFile itself does not look at
                    try (var in = new CheckedInputStream(file.getInputStream(entry), checksum)) {
                        Document document = Document.read(name(index), in);
                        if (checksum.getValue() != entry.getCrc()) {
                            throw new ZipException("the entry's checksum does not match: " + zip + " is damaged");
                        }
                        return document;
                    }
                }
            };
        } catch (ZipException e) {
            throw new IOException(zip + " is not a jar or zip archive: " + e.getMessage(), e);
        }
    }

    static IndexedTextSource subset(IndexedTextSource source, int[] indices) {
        if (indices.length == 0) {
            throw new IllegalArgumentException("None of the " + source.size() + " documents is chosen");
        }
        return new IndexedTextSource() {
            @Override
            public List<DataFile> files() throws IOException {
                return source.files();
            }

            @Override
            public int size() {
                return indices.length;
            }

            @Override
            public String name(int index) {
                return source.name(indices[index]);
            }

            @Override
            public Document read(int index) throws IOException {
                return source.read(indices[index]);
            }
        };
    }

    static void checkNotEmpty(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file + " does not exist");
        }
        if (Files.isDirectory(file)) {
            throw new IllegalArgumentException(file + " is a directory, where a file is wanted");
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
            for (Path part : root.relativize(file)) {
                if (part.toString().startsWith(".")) {
                    return false;
                }
            }
            return Files.isRegularFile(file) && Files.size(file) > 0;
        } catch (IOException e) {
            return false;
        }
    }
}
