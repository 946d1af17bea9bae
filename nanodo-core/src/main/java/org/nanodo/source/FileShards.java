package org.nanodo.source;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Predicate;
import java.util.zip.CRC32C;
import org.nanodo.files.Failures;

/** Files of many documents each, whose text is in one field or column. */
final class FileShards implements TextSource {
    private static final int HEAD = 4096;

    interface Opener {
        DocumentReader open(Path file, String field) throws IOException;
    }

    interface Indexer {
        /** Returns null if the documents of these files can only be read in order. */
        DocumentIndex index(List<Path> files, String field) throws IOException;
    }

    private final List<Path> paths;
    private final String field;
    private final Opener opener;
    private final Indexer indexer;
    private DocumentIndex index;

    private FileShards(List<Path> paths, String field, Opener opener, Indexer indexer) {
        this.paths = List.copyOf(paths);
        this.field = field;
        this.opener = opener;
        this.indexer = indexer;
    }

    static TextSource of(List<Path> files, String field, Opener opener, Indexer indexer) throws IOException {
        if (files.isEmpty()) {
            throw new IllegalArgumentException("No files: at least one is needed");
        }
        var seen = new HashSet<Path>();
        for (Path file : files) {
            if (Files.isDirectory(file)) {
                throw new IllegalArgumentException(
                        file + " is a directory: name the files in it with a pattern, " + file + "/*");
            }
            TextSources.checkNotEmpty(file);
            if (!seen.add(file.toRealPath())) {
                throw new IllegalArgumentException(
                        file + " is named twice: to give a source more weight, use a Mixture");
            }
        }
        return new FileShards(files, field, opener, indexer);
    }

    /** Returns the file of this name or, if it does not exist, the files that match the pattern, sorted by name. */
    static List<Path> find(String pattern) throws IOException {
        String start = pattern.split("[*?{\\[]", 2)[0];
        if (start.equals(pattern) || new File(pattern).exists()) {
            return List.of(Path.of(pattern));
        }
        int slash = start.lastIndexOf('/');
        Path directory = Path.of(slash < 0 ? "" : start.substring(0, slash + 1));
        String glob = pattern.substring(slash + 1);
        var matcher = directory.getFileSystem().getPathMatcher("glob:" + glob);
        int depth = glob.contains("**")
                ? Integer.MAX_VALUE
                : 1 + (int) glob.chars().filter(c -> c == '/').count();
        if (Files.isDirectory(directory)) {
            try (var below = Files.walk(directory, depth)) {
                List<Path> files = below.filter(file -> matcher.matches(directory.relativize(file)))
                        .filter(Files::isRegularFile)
                        .sorted()
                        .toList();
                if (!files.isEmpty()) {
                    return files;
                }
            } catch (UncheckedIOException e) { // a directory that may not be read
                throw e.getCause();
            }
        }
        throw new NoSuchFileException("No file matches " + pattern + " in " + directory.toAbsolutePath());
    }

    @Override
    public List<DataFile> files() throws IOException {
        return DataFile.all(paths);
    }

    @Override
    public int size() {
        return paths.size();
    }

    @Override
    public String name(int shard) {
        return paths.get(shard).toString();
    }

    @Override
    public DocumentReader open(int shard) throws IOException {
        Path file = paths.get(shard);
        TextSources.checkNotEmpty(file);
        DocumentReader reader = opener.open(file, field);
        var closed = new AtomicBoolean();
        return new SourceViews.Reader(
                () -> {
                    if (closed.get()) {
                        throw new IllegalStateException("The reader of " + file + " is closed: open another one");
                    }
                    return reader.next();
                },
                () -> {
                    closed.set(true);
                    reader.close();
                });
    }

    /** Returns the same index each time, so that the files are searched once. */
    @Override
    public synchronized DocumentIndex index() {
        if (index == null) {
            try {
                index = indexer.index(paths, field);
            } catch (IOException e) {
                throw new UncheckedIOException(Failures.reason(e), e);
            }
        }
        return index;
    }

    @Override
    public TextSource matching(Predicate<String> name) {
        List<Path> chosen =
                paths.stream().filter(file -> name.test(file.toString())).toList();
        if (chosen.isEmpty()) {
            throw new IllegalArgumentException("None of the " + size() + " files is chosen");
        }
        return new FileShards(chosen, field, opener, indexer);
    }

    /** Digests names without directories, sizes, and the beginnings of eight of the files: the files may be moved. */
    @Override
    public String fingerprint() throws IOException {
        var digest = new CRC32C();
        digest.update(field.getBytes(StandardCharsets.UTF_8));
        for (Path file : paths) {
            digest.update(file.getFileName().toString().getBytes(StandardCharsets.UTF_8));
            digest.update(ByteBuffer.allocate(Long.BYTES).putLong(0, Files.size(file)));
        }
        int heads = Math.min(8, size());
        for (int i = 0; i < heads; i++) {
            try (InputStream in = Files.newInputStream(paths.get((int) ((long) i * size() / heads)))) {
                digest.update(in.readNBytes(HEAD));
            }
        }
        return Long.toHexString(digest.getValue());
    }
}
