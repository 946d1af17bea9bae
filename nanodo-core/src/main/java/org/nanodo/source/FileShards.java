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
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Predicate;
import java.util.zip.CRC32C;
import org.nanodo.files.Failures;

/** Files with many documents each, by a field of these. */
record FileShards(List<Path> paths, String field, Opener opener, Indexer indexer, AtomicReference<DocumentIndex> found)
        implements TextSource {
    private static final int HEAD = 4096;

    interface Opener {
        DocumentReader open(Path file, String field) throws IOException;
    }

    /** Null, if the documents of these files have no index. */
    interface Indexer {
        DocumentIndex index(List<Path> files, String field) throws IOException;
    }

    private FileShards(List<Path> paths, String field, Opener opener, Indexer indexer) {
        this(List.copyOf(paths), field, opener, indexer, new AtomicReference<>());
    }

    static TextSource of(List<Path> files, String field, Opener opener, Indexer indexer) throws IOException {
        if (files.isEmpty()) {
            throw new IllegalArgumentException("No files: it takes at least one");
        }
        var seen = new HashSet<Path>();
        for (Path file : files) {
            if (Files.isDirectory(file)) {
                throw new IllegalArgumentException(
                        file + " is a folder: name the files in it with a pattern, " + file + "/*");
            }
            TextSources.checkNotEmpty(file);
            if (!seen.add(file.toRealPath())) {
                throw new IllegalArgumentException(file + " is named twice: a source that counts more goes into a"
                        + " Mixture with a larger weight");
            }
        }
        return new FileShards(files, field, opener, indexer);
    }

    /** The file of that name, or else those that match the pattern, by name. */
    static List<Path> find(String pattern) throws IOException {
        String start = pattern.split("[*?{\\[]", 2)[0];
        if (start.equals(pattern) || new File(pattern).exists()) {
            return List.of(Path.of(pattern));
        }
        int slash = start.lastIndexOf('/');
        Path folder = Path.of(slash < 0 ? "" : start.substring(0, slash + 1));
        String glob = pattern.substring(slash + 1);
        var matcher = folder.getFileSystem().getPathMatcher("glob:" + glob);
        int depth = glob.contains("**")
                ? Integer.MAX_VALUE
                : 1 + (int) glob.chars().filter(c -> c == '/').count();
        if (Files.isDirectory(folder)) {
            try (var below = Files.walk(folder, depth)) {
                List<Path> files = below.filter(file -> matcher.matches(folder.relativize(file)))
                        .filter(Files::isRegularFile)
                        .sorted()
                        .toList();
                if (!files.isEmpty()) {
                    return files;
                }
            } catch (UncheckedIOException e) { // of a folder that may not be read
                throw e.getCause();
            }
        }
        throw new NoSuchFileException("No file matches " + pattern + " in " + folder.toAbsolutePath());
    }

    @Override
    public List<DataFile> files() throws IOException {
        var all = new ArrayList<DataFile>();
        for (Path file : paths) {
            all.add(DataFile.of(file));
        }
        return all;
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
        TextSources.checkNotEmpty(paths.get(shard));
        return opener.open(paths.get(shard), field);
    }

    /** The same one always, so that the files are searched once. */
    @Override
    public DocumentIndex index() {
        if (found.get() == null) {
            try {
                found.compareAndSet(null, indexer.index(paths, field));
            } catch (IOException e) {
                throw new UncheckedIOException(Failures.reason(e), e);
            }
        }
        return found.get();
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

    /** Of names without folders, sizes, and how eight of the files begin: the files may be moved. */
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
