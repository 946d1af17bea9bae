package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Predicate;
import java.util.zip.CRC32C;
import org.nanodo.files.OptionalLibrary;
import org.nanodo.tokenizer.Tokenizer;

/** Documents that are texts. */
public interface TextSource extends DocumentSource {
    /** Texts at hand, one document each. */
    static TextSource of(String... texts) {
        return TextSources.of(List.of(texts));
    }

    /**
     * Files, one document each; of a folder all files in it and below that are not empty and not hidden, by name.
     *
     * @throws java.nio.file.NoSuchFileException if one does not exist
     * @throws IllegalArgumentException if a file named here is empty or a folder has no file
     */
    static TextSource files(Path... paths) throws IOException {
        return TextSources.files(paths);
    }

    /** Files in a jar or zip archive, one document each, by name. */
    static TextSource archive(Path zip) throws IOException {
        return TextSources.archive(zip);
    }

    /** Lines of a file that are not blank, without their ends, one document each. Keeps four bytes a line in memory. */
    static TextSource lines(Path file) throws IOException {
        return FileLines.of(file);
    }

    /**
     * One large file as documents of at least so many bytes (the last may be shorter): a text without documents of its own
     * can then be shuffled and split. Each ends with a line, or, where lines are longer than this, with a character.
     */
    static TextSource sections(Path file, int bytes) throws IOException {
        return FileSections.of(file, bytes);
    }

    /**
     * JSON-lines files, plain or gzip (told by their content): a JSON object a line, whose {@code field} is a document.
     *
     * <p>A line that is not JSON, not UTF-8 or without this field is an error that names file and line when its turn comes;
     * {@link #skipCorrupt} passes over it. Blank lines and empty texts are passed over.
     *
     * @param files a path, or a pattern as {@code c4/c4-train.*.json.gz} or <code>c4/{a,b}/**.jsonl</code>
     *     ({@link java.nio.file.FileSystem#getPathMatcher}, folders are divided by {@code /}). The files are the shards, by name
     * @throws java.nio.file.NoSuchFileException if there is no such file
     */
    static TextSource jsonLines(String files, String field) throws IOException {
        return jsonLines(FileShards.find(files), field);
    }

    static TextSource jsonLines(List<Path> files, String field) throws IOException {
        return FileShards.of(files, field, JsonLines::open, LineIndex::of);
    }

    /**
     * Parquet files: each row's value in a column of text is a document. Needs {@code com.jerolba:carpet-record} on the class
     * path, an optional dependency. The column's compressed bytes of one row group are in memory at a time.
     *
     * <p>A value that is null or not UTF-8 is an error that names file and row; {@link #skipCorrupt} passes over it. Pages are
     * verified by their checksums; the first file without them is named in a warning.
     *
     * @param files a path or pattern, as for {@link #jsonLines(String, String)}
     * @throws IllegalStateException if the library is not there
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

    /** The shards whose name passes. @throws IllegalArgumentException if none does */
    default TextSource matching(Predicate<String> name) {
        return SourceViews.matching(this, name);
    }

    /**
     * A seeded random split by document, so that no document is on both sides. Each document is held out with this
     * probability; both sides read all shards to find theirs, so of a large corpus rather hold out whole shards, by
     * {@link #matching}.
     */
    default Split split(double validationFraction, long seed) {
        return SourceViews.split(this, validationFraction, seed);
    }

    /**
     * Passes over documents that are corrupt, with a warning that names and counts them, where they would otherwise end the
     * run. They keep their numbers, so a run that ended at one can be resumed with this. A file that is truncated
     * or damaged as a whole stays an error.
     */
    default TextSource skipCorrupt() {
        return SourceViews.skipCorrupt(this);
    }

    /** A digest of the first document of up to eight shards, evenly spaced. */
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

    /** Two sources without a document in common. */
    record Split(TextSource train, TextSource validation) {}
}
