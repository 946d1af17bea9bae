package org.nanodo.source;

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

/** Sources made from another one. */
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
        return new TextSource() {
            @Override
            public List<DataFile> files() throws IOException {
                return source.files();
            }

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
        };
    }

    static TextSource.Split split(TextSource source, double validationFraction, long seed) {
        if (!(validationFraction > 0 && validationFraction < 1)) {
            throw new IllegalArgumentException(
                    "Cannot hold out " + validationFraction + " of the documents: it has to be between 0 and 1");
        }
        return new TextSource.Split(
                new Side(source, validationFraction, seed, false), new Side(source, validationFraction, seed, true));
    }

    /** One side of a split: a document's number in its shard and a seed decide. */
    private record Side(TextSource source, double validationFraction, long seed, boolean validation)
            implements TextSource {
        @Override
        public int size() {
            return source.size();
        }

        @Override
        public String name(int shard) {
            return source.name(shard);
        }

        @Override
        public DocumentReader open(int shard) throws IOException {
            DocumentReader all = source.open(shard);
            BooleanSupplier isHere = membership(shard);
            return all.reading(() -> {
                UnreadDocument document = all.next();
                while (document != null && !isHere.getAsBoolean()) {
                    document = all.next();
                }
                return document;
            });
        }

        /** Of the shard's documents, one after the other. */
        private BooleanSupplier membership(int shard) {
            var random = new SplittableRandom(
                    new SplittableRandom(seed).nextLong() ^ new SplittableRandom(~shard).nextLong());
            return () -> random.nextDouble() < validationFraction == validation;
        }

        @Override
        public DocumentIndex index() {
            DocumentIndex all = source.index();
            return all == null ? null : new DocumentIndex.Part(all, source.size(), this::membership);
        }

        @Override
        public List<DataFile> files() throws IOException {
            return source.files();
        }

        @Override
        public String fingerprint() throws IOException {
            return source.fingerprint() + "-" + (validation ? "validation" : "train") + "-" + validationFraction + "-"
                    + seed;
        }
    }

    static TextSource skipCorrupt(TextSource source) {
        return new SkipCorrupt(source, new AtomicLong());
    }

    private record SkipCorrupt(TextSource source, AtomicLong skipped) implements TextSource {
        @Override
        public int size() {
            return source.size();
        }

        @Override
        public String name(int shard) {
            return source.name(shard);
        }

        @Override
        public DocumentReader open(int shard) throws IOException {
            DocumentReader all = source.open(shard);
            return all.reading(() -> {
                UnreadDocument document = all.next();
                return document == null ? null : new Skippable(document);
            });
        }

        @Override
        public DocumentIndex index() {
            DocumentIndex all = source.index();
            return all == null
                    ? null
                    : new DocumentIndex() {
                        @Override
                        public int first(int shard) throws IOException {
                            return all.first(shard);
                        }

                        @Override
                        public UnreadDocument document(int number) throws IOException {
                            return new Skippable(all.document(number));
                        }

                        @Override
                        public boolean isOfShards() {
                            return all.isOfShards();
                        }
                    };
        }

        private final class Skippable implements UnreadDocument {
            private final UnreadDocument document;

            private Skippable(UnreadDocument document) {
                this.document = document;
            }

            @Override
            public Tokens tokens(Tokenizer tokenizer) throws IOException {
                try {
                    return document.tokens(tokenizer);
                } catch (CorruptDocumentException e) {
                    long count = skipped.incrementAndGet();
                    if (count <= 10 || Long.bitCount(count) == 1) { // then ever more rarely
                        log.warn("{}: skipped, as {} so far", e.getMessage(), count);
                    }
                    return new Tokens("skipped", new int[0], 0, 0);
                }
            }

            @Override
            public int bytes() {
                return document.bytes();
            }
        }

        // What goes on from a checkpoint may add or leave out the skipping: the corpus is the same.

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
        public List<DataFile> files() throws IOException {
            return source.files();
        }

        @Override
        public String fingerprint() throws IOException {
            return source.fingerprint();
        }
    }
}
