package org.nanodo.data;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;

/** Documents by number. They are read when asked for, by several threads, so that a corpus may be larger than memory. */
public non-sealed interface TextSource extends DocumentSource {
    Document read(int index) throws IOException;

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

    /** Lines of a file that are not blank, without their ends, one document each. Keeps eight bytes a line in memory. */
    static TextSource lines(Path file) throws IOException {
        return FileSections.lines(file);
    }

    /**
     * One large file as documents of at least so many bytes (the last may be shorter): a text without documents of its own
     * can then be shuffled and split. Each ends with a line, or, where lines are longer than this, with a character.
     */
    static TextSource sections(Path file, int bytes) throws IOException {
        return FileSections.of(file, bytes);
    }

    /** The documents whose name passes. @throws IllegalArgumentException if none does */
    default TextSource matching(Predicate<String> name) {
        return TextSources.subset(
                this, IntStream.range(0, size()).filter(i -> name.test(name(i))).toArray());
    }

    /** A seeded random split by document, so that no document is on both sides. */
    default Split split(double validationFraction, long seed) {
        int validation = (int) Math.max(1, Math.round(size() * validationFraction));
        if (!(validationFraction > 0) || validation >= size()) {
            throw new IllegalArgumentException("Cannot hold out " + validationFraction + " of " + size()
                    + " documents and leave some on both sides: cut a large file up with TextSource.sections");
        }
        int[] order = Shuffle.permutation(size(), seed, 0);
        int[] held = Arrays.copyOf(order, validation);
        int[] rest = Arrays.copyOfRange(order, validation, size());
        Arrays.sort(held);
        Arrays.sort(rest);
        return new Split(TextSources.subset(this, rest), TextSources.subset(this, held));
    }

    /** A digest of up to eight documents, evenly spaced. */
    @Override
    default String fingerprint() throws IOException {
        var digest = new CRC32C();
        int documents = Math.min(8, size());
        for (int i = 0; i < documents; i++) {
            digest.update(read((int) ((long) i * size() / documents)).text().getBytes(StandardCharsets.UTF_8));
        }
        return Long.toHexString(digest.getValue());
    }

    /** Two sources without a document in common. */
    record Split(TextSource train, TextSource validation) {}
}
