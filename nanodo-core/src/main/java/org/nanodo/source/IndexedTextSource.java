package org.nanodo.source;

import java.io.IOException;
import java.util.Arrays;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.nanodo.files.Failures;

/** A source whose documents can be read individually by number, from several threads: each shard is one document. */
public interface IndexedTextSource extends TextSource {
    Document read(int index) throws IOException;

    @Override
    default DocumentReader open(int index) {
        return DocumentReader.of(tokenizer -> {
            Document document;
            try {
                document = read(index);
            } catch (IOException e) {
                throw new IOException("Could not read " + name(index) + ": " + Failures.reason(e), e);
            } catch (OutOfMemoryError e) {
                throw Document.tooLarge("Could not read " + name(index), e);
            }
            return document.encode(tokenizer);
        });
    }

    @Override
    default DocumentIndex index() {
        return DocumentIndex.ofShards(this);
    }

    @Override
    default IndexedTextSource matching(Predicate<String> name) {
        return TextSources.subset(
                this, IntStream.range(0, size()).filter(i -> name.test(name(i))).toArray());
    }

    /** Splits the documents in exactly this proportion. @throws IllegalArgumentException if a side would be empty */
    @Override
    default Split split(double validationFraction, long seed) {
        int validation = (int) Math.max(1, Math.round(size() * validationFraction));
        if (!(validationFraction > 0) || validation >= size()) {
            throw new IllegalArgumentException("Cannot hold out " + validationFraction + " of " + size()
                    + " documents and leave some on both sides: divide a large file with TextSource.sections");
        }
        int[] order = Shuffle.permutation(size(), seed, 0);
        int[] held = Arrays.copyOf(order, validation);
        int[] rest = Arrays.copyOfRange(order, validation, size());
        Arrays.sort(held);
        Arrays.sort(rest);
        return new Split(TextSources.subset(this, rest), TextSources.subset(this, held));
    }
}
