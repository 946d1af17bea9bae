package org.nanodo.source;

import java.io.Closeable;
import java.io.IOException;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.nanodo.tokenizer.Tokenizer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Sources derived from another source. */
final class SourceViews {
    private static final Logger log = LoggerFactory.getLogger(TextSource.class);

    private SourceViews() {}

    static TextSource matching(TextSource source, Predicate<String> name) {
        int[] shards = IntStream.range(0, source.size())
                .filter(i -> name.test(source.name(i)))
                .toArray();
        if (shards.length == 0) {
            throw new IllegalArgumentException("None of the " + source.size() + " shards is chosen");
        }
        return new Matching(source, shards);
    }

    static TextSource.Split split(TextSource source, double validationFraction, long seed) {
        if (!(validationFraction > 0 && validationFraction < 1)) {
            throw new IllegalArgumentException(
                    "Cannot hold out " + validationFraction + " of the documents: it must be between 0 and 1");
        }
        return new TextSource.Split(
                new Side(source, validationFraction, seed, false), new Side(source, validationFraction, seed, true));
    }

    static TextSource skipCorrupt(TextSource source) {
        return new SkipCorrupt(source, new AtomicLong());
    }

    private record Matching(TextSource source, int[] shards) implements TextSource {
        @Override
        public int size() {
            return shards.length;
        }

        @Override
        public String name(int shard) {
            return source.name(shards[shard]);
        }

        @Override
        public DocumentReader open(int shard) throws IOException {
            return source.open(shards[shard]);
        }

        @Override
        public List<DataFile> files() throws IOException {
            return source.files();
        }
    }

    /** A reader made of functions. */
    record Reader(DocumentReader documents, Closeable source) implements DocumentReader {
        @Override
        public UnreadDocument next() throws IOException {
            return documents.next();
        }

        @Override
        public void close() throws IOException {
            source.close();
        }
    }

    /** A view of the documents of a source. */
    private interface View extends TextSource {
        TextSource source();

        @Override
        default int size() {
            return source().size();
        }

        @Override
        default String name(int shard) {
            return source().name(shard);
        }

        @Override
        default List<DataFile> files() throws IOException {
            return source().files();
        }
    }

    /** One side of a split: the seed and a document's number in its shard decide. */
    private record Side(TextSource source, double validationFraction, long seed, boolean validation) implements View {
        @Override
        public DocumentReader open(int shard) throws IOException {
            DocumentReader all = source.open(shard);
            BooleanSupplier membership = membership(shard);
            return new Reader(
                    () -> {
                        UnreadDocument document = all.next();
                        while (document != null && !membership.getAsBoolean()) {
                            document = all.next();
                        }
                        return document;
                    },
                    all);
        }

        @Override
        public DocumentIndex index() {
            DocumentIndex all = source.index();
            return all == null ? null : new DocumentIndex(() -> search(all));
        }

        /** Keeps four bytes of memory per document. */
        private DocumentIndex.Found search(DocumentIndex all) throws IOException {
            var numbers = new Offsets();
            int[] firsts = new int[size() + 1];
            for (int shard = 0; shard < size(); shard++) {
                BooleanSupplier membership = membership(shard);
                for (int number = all.first(shard); number < all.first(shard + 1); number++) {
                    if (membership.getAsBoolean()) {
                        numbers.add(number);
                    }
                }
                firsts[shard + 1] = numbers.size();
            }
            return new DocumentIndex.Found(shard -> firsts[shard], number -> all.document((int) numbers.get(number)));
        }

        /** Tells for one document of a shard after the other whether it is on this side. */
        private BooleanSupplier membership(int shard) {
            SplittableRandom random = Shuffle.random(seed, shard);
            return () -> random.nextDouble() < validationFraction == validation;
        }

        @Override
        public String fingerprint() throws IOException {
            return source.fingerprint() + "-" + (validation ? "validation" : "train") + "-" + validationFraction + "-"
                    + seed;
        }
    }

    /** Keeps fingerprint and document numbers, so that a run may resume with or without it. */
    private record SkipCorrupt(TextSource source, AtomicLong skipped) implements View {
        @Override
        public DocumentReader open(int shard) throws IOException {
            DocumentReader all = source.open(shard);
            return new Reader(
                    () -> {
                        UnreadDocument document = all.next();
                        return document == null ? null : new Skippable(document, skipped);
                    },
                    all);
        }

        @Override
        public DocumentIndex index() {
            DocumentIndex all = source.index();
            return all == null ? null : all.map(document -> new Skippable(document, skipped));
        }

        @Override
        public TextSource matching(Predicate<String> name) {
            return source.matching(name).skipCorrupt();
        }

        @Override
        public Split split(double validationFraction, long seed) {
            Split split = source.split(validationFraction, seed);
            return new Split(split.train().skipCorrupt(), split.validation().skipCorrupt());
        }

        @Override
        public String fingerprint() throws IOException {
            return source.fingerprint();
        }
    }

    private record Skippable(UnreadDocument document, AtomicLong skipped) implements UnreadDocument {
        @Override
        public Tokens tokens(Tokenizer tokenizer) throws IOException {
            try {
                return document.tokens(tokenizer);
            } catch (CorruptDocumentException e) {
                long count = skipped.incrementAndGet();
                if (count <= 10 || Long.bitCount(count) == 1) { // after ten, only at powers of two
                    log.warn("{}: skipped, {} so far", e.getMessage(), count);
                }
                return new Tokens("skipped", new int[0], 0, 0);
            }
        }

        @Override
        public int bytes() {
            return document.bytes();
        }
    }
}
