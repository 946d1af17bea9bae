package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Predicate;
import java.util.zip.CRC32C;
import org.nanodo.files.OptionalLibrary;
import org.nanodo.tokenizer.Tokenizer;

/** A source of text documents. */
public interface TextSource extends DocumentSource {
    /** Returns the given texts, one document each. */
    static TextSource of(String... texts) {
        return TextSources.of(List.of(texts));
    }

    /**
     * Reads files, one document each. A directory stands for all files in and below it that are neither empty nor hidden,
     * sorted by name.
     *
     * @throws java.nio.file.NoSuchFileException if a path does not exist
     * @throws IllegalArgumentException if a given file is empty, or a directory contains no such file
     */
    static TextSource files(Path... paths) throws IOException {
        return TextSources.files(paths);
    }

    /** Reads the files in a jar or zip archive, one document each, sorted by name. */
    static TextSource archive(Path zip) throws IOException {
        return TextSources.archive(zip);
    }

    /** Reads the lines of a file that are not blank, one document each. Keeps four bytes of memory per line. */
    static TextSource lines(Path file) throws IOException {
        return FileLines.of(file);
    }

    /**
     * Divides a file into documents of at least {@code bytes} bytes each (the last may be shorter), so that one long text can
     * be shuffled and split. Each ends at a line end or, after twice that length, at the end of a character.
     */
    static TextSource sections(Path file, int bytes) throws IOException {
        return FileSections.of(file, bytes);
    }

    /**
     * Reads JSON-lines files, plain or gzip (detected by content): each line is a JSON object, and its {@code field} is a
     * document.
     *
     * <p>A line that is not JSON, not UTF-8 or has no such field is an error that names file and line when it is read, unless
     * {@link #skipCorrupt} skips it. Blank lines and empty texts are skipped.
     *
     * @param files a path, or a pattern such as {@code c4/c4-train.*.json.gz} or <code>c4/{a,b}/**.jsonl</code>
     *     ({@link java.nio.file.FileSystem#getPathMatcher}, with {@code /} between directories). The files are the shards,
     *     sorted by name
     * @throws java.nio.file.NoSuchFileException if there is no such file
     */
    static TextSource jsonLines(String files, String field) throws IOException {
        return jsonLines(FileShards.find(files), field);
    }

    static TextSource jsonLines(List<Path> files, String field) throws IOException {
        return FileShards.of(files, field, JsonLines::open, LineIndex::of);
    }

    /**
     * Reads Parquet files: each value of a text column is a document. Requires {@code com.jerolba:carpet-record} on the class
     * path, an optional dependency. Keeps the column's compressed bytes of one row group in memory.
     *
     * <p>A value that is null or not UTF-8 is an error that names file and row, unless {@link #skipCorrupt} skips it. Page
     * checksums are verified; the first file without them is named in a warning.
     *
     * @param files a path or pattern, as for {@link #jsonLines(String, String)}
     * @throws IllegalStateException if the library is missing
     */
    static TextSource parquet(String files, String column) throws IOException {
        return parquet(FileShards.find(files), column);
    }

    static TextSource parquet(List<Path> files, String column) throws IOException {
        OptionalLibrary.PARQUET.require();
        var unchecked = new AtomicBoolean();
        return FileShards.of(
                files, column, (file, name) -> ParquetColumn.open(file, name, unchecked), (all, name) -> null);
    }

    /** Returns the shards whose name matches. @throws IllegalArgumentException if none does */
    default TextSource matching(Predicate<String> name) {
        return SourceViews.matching(this, name);
    }

    /**
     * Splits the documents at random into two sources, each document with this probability of being held out. Both sides read
     * all shards to find their documents: of a large corpus, hold out whole shards with {@link #matching} instead.
     */
    default Split split(double validationFraction, long seed) {
        return SourceViews.split(this, validationFraction, seed);
    }

    /**
     * Skips corrupt documents with a warning that names and counts them, instead of ending the run. Skipped documents keep
     * their numbers, so a run that ended at one can be resumed with this. A file that is truncated or damaged as a whole
     * remains an error.
     */
    default TextSource skipCorrupt() {
        return SourceViews.skipCorrupt(this);
    }

    /** Digests the first document of each of up to eight shards, evenly spaced. */
    @Override
    default String fingerprint() throws IOException {
        var digest = new CRC32C();
        int shards = Math.min(8, size());
        for (int i = 0; i < shards; i++) {
            try (var documents = open((int) ((long) i * size() / shards))) {
                UnreadDocument first = documents.next();
                if (first != null) {
                    for (int id : first.tokens(Tokenizer.bytes()).ids()) {
                        digest.update(id);
                        digest.update(id >> 8);
                    }
                }
            }
        }
        return Long.toHexString(digest.getValue());
    }

    /** Two sources that have no document in common. */
    record Split(TextSource train, TextSource validation) {}
}
