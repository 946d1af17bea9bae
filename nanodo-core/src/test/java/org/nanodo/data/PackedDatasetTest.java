package org.nanodo.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.nanodo.Documents;
import org.nanodo.source.Document;
import org.nanodo.source.IndexedTextSource;
import org.nanodo.source.TextSource;
import org.nanodo.tokenizer.Tokenizer;

class PackedDatasetTest {
    /** Two texts of NanoDO's packing test; as bytes with BOS 1 and EOS 2. */
    private static final TextSource TWO = TextSource.of("\u0002\u0003", "\u0004\u0005\u0006\u0007\u0008\u0009");

    /** 300 documents of different lengths, each of one repeated letter or digit and its number. */
    private static final TextSource MANY = TextSource.of(IntStream.range(0, 300)
            .mapToObj(i -> (i + ":" + "abcdefghij".charAt(i % 10)).repeat(i % 7 + 1))
            .toArray(String[]::new));

    @Test
    void noamPackingAsATable() {
        try (var batches = PackedDataset.of(TWO).length(4).batch(3).epochs(1).iterator()) {
            Batch batch = batches.next();
            assertThat(batch.inputs_BxL())
                    .containsExactly(
                            1, 5, 6, 2, //
                            1, 7, 8, 9, //
                            10, 11, 12, 2);
            assertThat(batch.targets_BxL())
                    .containsExactly(
                            5, 6, 2, 0, //
                            7, 8, 9, 0, //
                            11, 12, 2, 0);
            assertThat(batch.weights_BxL())
                    .containsExactly(
                            1, 1, 1, 0, //
                            1, 1, 1, 0, //
                            1, 1, 1, 0);
            assertThat(batches.hasNext()).isFalse();
            assertThatThrownBy(batches::next).isInstanceOf(NoSuchElementException.class);
        }
    }

    /** NanoDO's test of padding; the last row of the batch has no document. */
    @Test
    void paddedPackingAsATable() {
        PackedDataset data =
                PackedDataset.of(TWO).packing(Packing.PADDED).length(5).batch(3);
        try (var batches = data.epochs(1).iterator()) {
            Batch batch = batches.next();
            assertThat(batch.inputs_BxL())
                    .containsExactly(
                            1, 5, 6, 2, 0, //
                            1, 7, 8, 9, 10, //
                            0, 0, 0, 0, 0);
            assertThat(batch.targets_BxL())
                    .containsExactly(
                            5, 6, 2, 0, 0, //
                            7, 8, 9, 10, 0, //
                            0, 0, 0, 0, 0);
            assertThat(batch.weights_BxL())
                    .containsExactly(
                            1, 1, 1, 0, 0, //
                            1, 1, 1, 1, 0, //
                            0, 0, 0, 0, 0);
            assertThat(batches.hasNext()).isFalse();
        }
        try (var batches = data.length(4).iterator()) { // cut off, again and again
            assertThat(batches.next().inputs_BxL()).containsExactly(1, 5, 6, 2, 1, 7, 8, 9, 1, 5, 6, 2);
            assertThat(batches.next().inputs_BxL()).containsExactly(1, 7, 8, 9, 1, 5, 6, 2, 1, 7, 8, 9);
        }
    }

    @Test
    void aCorpusMayBeShorterThanARowThatItDoesNotHaveToFill() {
        TextSource small = TextSource.of("ab");
        PackedDataset padded =
                PackedDataset.of(small).packing(Packing.PADDED).length(32).batch(2);
        try (var batches = padded.iterator()) {
            assertThat(batches.next().weight()).isEqualTo(2 * 3);
        }
        var mixture = Mixture.of(TextSource.of("x".repeat(1300)), 1).and(small, 1);
        try (var batches = PackedDataset.of(mixture).length(32).batch(2).iterator()) {
            assertThat(batches.next().weight()).isEqualTo(2 * 31);
        }
        var nothing = Mixture.of(TextSource.of("x".repeat(1300)), 1).and(TextSource.of("", ""), 1);
        try (var batches = PackedDataset.of(nothing).length(32).batch(2).iterator()) {
            assertThatThrownBy(batches::next)
                    .hasMessageContaining("has no text in any of its documents, such as text 0");
        }
    }

    @Test
    void rowsKnowTheirDocumentsWhereAttentionStaysWithinThem() {
        PackedDataset data = PackedDataset.of(TWO).length(6).batch(2).epochs(1);
        try (var batches = data.documentMask(true).iterator();
                var unmasked = data.iterator()) {
            Batch batch = batches.next();
            assertThat(batch.inputs_BxL()).containsExactly(1, 5, 6, 2, 1, 7, 8, 9, 10, 11, 12, 2);
            assertThat(batch.documents_BxL()).containsExactly(0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
            assertThat(batch.rows(1, 2).documents_BxL()).containsExactly(1, 1, 1, 1, 1, 1);
            assertThat(unmasked.next().isMasked()).isFalse();
        }
    }

    @Test
    void aDocumentLongerThanAWindowIsEncodedOnce() {
        var encoded = new AtomicInteger();
        var counting = new Tokenizer() {
            @Override
            public int[] encode(String text) {
                encoded.incrementAndGet();
                return new int[text.length()];
            }

            @Override
            public String decode(int... ids) {
                return "";
            }

            @Override
            public int vocabSize() {
                return 3;
            }

            @Override
            public Map<String, String> spec() {
                return Map.of();
            }
        };
        TextSource text = TextSource.of("short", "x".repeat(3_000_000), "short");
        try (var batches = PackedDataset.of(text)
                .tokenizer(counting)
                .length(1024)
                .batch(8)
                .epochs(1)
                .iterator()) {
            int count = 0;
            while (batches.hasNext()) {
                batches.next();
                count++;
            }
            assertThat(count).isEqualTo(367);
        }
        assertThat(encoded).hasValue(3);
    }

    @Test
    void aDocumentThatCannotBeReadIsToldWhenItsTurnComes() {
        var source = new IndexedTextSource() {
            @Override
            public int size() {
                return 3;
            }

            @Override
            public String name(int index) {
                return "document " + index;
            }

            @Override
            public Document read(int index) throws IOException {
                if (index == 2) {
                    throw new IOException("it is gone");
                }
                return new Document(name(index), "x".repeat(index == 0 ? 10 : 2_000_000), 0);
            }
        };
        try (var batches = PackedDataset.of(source).length(1024).batch(8).iterator()) {
            assertThat(batches.next().weight()).isPositive();
            assertThatThrownBy(() -> {
                        while (batches.hasNext()) {
                            batches.next();
                        }
                    })
                    .isInstanceOf(java.io.UncheckedIOException.class)
                    .hasMessage("Could not read document 2: it is gone");
        }
    }

    @Test
    void theEndIsFilledWithPaddingOfWeightZero() {
        try (var batches = PackedDataset.of(TWO).length(5).batch(4).epochs(1).iterator()) {
            Batch batch = batches.next();
            assertThat(batch.inputs_BxL())
                    .containsExactly(
                            1, 5, 6, 2, 1, //
                            7, 8, 9, 10, 11, //
                            12, 2, 0, 0, 0, //
                            0, 0, 0, 0, 0);
            assertThat(batch.weights_BxL())
                    .containsExactly(
                            1, 1, 1, 1, 0, //
                            1, 1, 1, 1, 0, //
                            1, 0, 0, 0, 0, //
                            0, 0, 0, 0, 0);
            assertThat(batches.hasNext()).isFalse();
        }
    }

    @Test
    void packingGoesOnAcrossEpochs() {
        try (var batches = PackedDataset.of(TWO).length(5).batch(1).iterator()) {
            assertThat(rows(batches, 4))
                    .containsExactly(
                            List.of(1, 5, 6, 2, 1),
                            List.of(7, 8, 9, 10, 11),
                            List.of(12, 2, 1, 5, 6),
                            List.of(2, 1, 7, 8, 9));
        }
    }

    @Test
    void oneSpecialTokenBetweenDocumentsWhereBosIsEos() {
        var dataset = PackedDataset.of(TextSource.of("Hello world", "Hello"))
                .tokenizer(Tokenizer.gpt2())
                .length(5)
                .batch(1);
        try (var batches = dataset.iterator()) {
            assertThat(rows(batches, 1)).containsExactly(List.of(15496, 995, 50256, 15496, 50256));
        }
    }

    @Test
    void anEpochHasEveryTokenOnceInANewOrderEachTime() {
        PackedDataset plain = PackedDataset.of(MANY).length(16).batch(4);
        long tokens = count(plain.epochs(1)).values().stream().mapToLong(n -> n).sum();
        assertThat(count(plain.shuffle(1).epochs(1))).isEqualTo(count(plain.epochs(1)));
        assertThat(count(plain.shuffle(1).epochs(2)).values().stream()
                        .mapToLong(n -> n)
                        .sum())
                .isEqualTo(2 * tokens);

        List<List<Integer>> one = rows(plain.shuffle(1).iterator(), 900);
        assertThat(rows(plain.shuffle(1).iterator(), 900)).isEqualTo(one);
        assertThat(rows(plain.shuffle(2).iterator(), 900)).isNotEqualTo(one);
        int epoch = (int) (tokens / 16);
        assertThat(one.subList(0, 40)).isNotEqualTo(one.subList(epoch, epoch + 40));
        assertThat(rows(plain.iterator(), 40)).isNotEqualTo(one.subList(0, 40));
    }

    @Test
    void seekContinuesExactlyFromAnyBatch() {
        // Windows of few rows, so that positions inside and at the edges of many are met.
        for (PackedDataset dataset : List.of(
                PackedDataset.of(MANY).length(1 << 12).batch(128).shuffle(3),
                PackedDataset.of(MANY).length(16).batch(4).shuffle(3),
                PackedDataset.of(MANY).length(16).batch(4).epochs(2))) {
            Documents.checkSeek(dataset, 12);
        }
    }

    @Test
    void seekToTheEndOfTheDataFindsNothing() {
        PackedDataset dataset = PackedDataset.of(TWO).length(4).batch(3).epochs(1);
        try (var batches = dataset.iterator()) {
            batches.next();
            Position end = batches.position();
            try (var again = dataset.iterator()) {
                again.seek(end);
                assertThat(again.hasNext()).isFalse();
            }
        }
    }

    @Test
    void ranksTogetherServeWhatOneDoes() {
        PackedDataset whole =
                PackedDataset.of(MANY).length(16).batch(6).shuffle(3).epochs(1);
        for (int world : new int[] {2, 3, 6}) {
            var ranks = IntStream.range(0, world)
                    .mapToObj(rank -> whole.shard(rank, world).iterator())
                    .toList();
            try (var all = whole.iterator()) {
                while (all.hasNext()) {
                    int[] together = ranks.stream()
                            .map(BatchIterator::next)
                            .flatMapToInt(batch -> Arrays.stream(batch.inputs_BxL()))
                            .toArray();
                    assertThat(together).isEqualTo(all.next().inputs_BxL());
                }
            }
            ranks.forEach(rank -> assertThat(rank.hasNext()).isFalse());
            ranks.forEach(BatchIterator::close);
        }
    }

    @Test
    void badSettingsAreNamed() {
        PackedDataset dataset = PackedDataset.of(TWO);
        assertThatThrownBy(() -> dataset.length(1)).hasMessageContaining("row of 1 tokens");
        assertThatThrownBy(() -> dataset.batch(0)).hasMessageContaining("batch is 0");
        assertThatThrownBy(() -> dataset.epochs(0)).hasMessageContaining("epochs is 0");
        assertThatThrownBy(() -> dataset.batch(4).shard(0, 3)).hasMessageContaining("4 rows does not divide among 3");
        assertThatThrownBy(() -> dataset.shard(2, 2)).hasMessageContaining("Rank 2 is not one of 2");
    }

    @Test
    void aCorpusShorterThanOneRowIsNamed() {
        try (var batches = PackedDataset.of(TWO).length(100).batch(2).iterator()) {
            assertThatThrownBy(batches::next)
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("whole corpus is 12 tokens, one row needs 100");
        }
    }

    @Test
    void aDocumentThatCannotBeUsedIsNamed() {
        TextSource failing = new IndexedTextSource() {
            @Override
            public int size() {
                return 1;
            }

            @Override
            public String name(int index) {
                return "the book";
            }

            @Override
            public Document read(int index) throws IOException {
                throw new IOException("disk on fire");
            }
        };
        try (var batches = PackedDataset.of(failing).iterator()) {
            assertThatThrownBy(batches::next).hasMessageContaining("the book").hasMessageContaining("disk on fire");
        }
        var strange = PackedDataset.of(TWO).tokenizer(Tokenizer.characters("abc"));
        try (var batches = strange.iterator()) {
            assertThatThrownBy(batches::hasNext).hasMessageContaining("text 0").hasMessageContaining("U+0002");
        }
    }

    @Test
    void aPositionOfAnotherDatasetIsNamed() {
        try (var batches = PackedDataset.of(TWO).length(4).batch(1).epochs(1).iterator()) {
            var beyond = new Position(List.of(new Position.SourcePosition(0, 2, 0, 0, 0)), 0, 0);
            assertThatThrownBy(() -> batches.seek(beyond)).hasMessageContaining("2 documents");
            batches.seek(new Position(Position.start(1).sources(), 0, 1000));
            assertThatThrownBy(batches::next).hasMessageContaining("Row 1000");
        }
    }

    /** A document: BOS, a byte token for each character, EOS. */
    private static Map<Integer, Integer> count(PackedDataset dataset) {
        var counts = new HashMap<Integer, Integer>();
        try (var batches = dataset.iterator()) {
            while (batches.hasNext()) {
                for (int id : batches.next().inputs_BxL()) {
                    counts.merge(id, 1, Integer::sum);
                }
            }
        }
        counts.remove(dataset.tokenizer().padId());
        return counts;
    }

    private static List<List<Integer>> rows(BatchIterator batches, int count) {
        var rows = new ArrayList<List<Integer>>();
        while (rows.size() < count) {
            Batch batch = batches.next();
            for (int b = 0; b < batch.B(); b++) {
                rows.add(Arrays.stream(batch.inputs_BxL(), b * batch.L(), (b + 1) * batch.L())
                        .boxed()
                        .toList());
            }
        }
        batches.close();
        return rows.subList(0, count);
    }
}
