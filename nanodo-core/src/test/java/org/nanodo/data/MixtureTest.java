package org.nanodo.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.Documents;
import org.nanodo.source.TextSource;

class MixtureTest {
    @TempDir
    Path directory;

    @Test
    void asATable() {
        // Documents of 4 tokens against one of 12, at equal shares of tokens: three to one.
        Mixture mixture = Mixture.of(TextSource.of("aa", "bb", "cc", "dd"), 1).and(TextSource.of("x".repeat(10)), 1);
        try (var batches =
                PackedDataset.of(mixture).length(4).batch(9).epochs(1).iterator()) {
            assertThat(text(batches.next()))
                    .isEqualTo("[aa][xxxxxxxxxx][bb][cc][dd]......"
                            .replace(".", "")
                            .replace(" ", ""));
            assertThat(batches.hasNext()).as("the second has been through").isFalse();
        }
    }

    @Test
    void noSourceIsEverAheadOfItsShareByMoreThanOneDocumentOfItsOwn() {
        var random = new SplittableRandom(3);
        for (double[] weights : new double[][] {{1, 1}, {0.7, 0.2, 0.1}, {5, 1, 3, 0.01}, {1e-3, 1e3}}) {
            int[] longest = random.ints(weights.length, 1, 300).toArray();
            Mixture mixture = null;
            for (int i = 0; i < weights.length; i++) {
                int most = longest[i];
                char letter = (char) ('a' + i);
                TextSource source = TextSource.of(IntStream.range(0, 50)
                        .mapToObj(n -> ("" + letter).repeat(n == 0 ? most : random.nextInt(1, most + 1)))
                        .toArray(String[]::new));
                mixture = mixture == null ? Mixture.of(source, weights[i]) : mixture.and(source, weights[i]);
            }
            double sum = Arrays.stream(weights).sum();
            long[] tokens = new long[weights.length];
            long total = 0;
            int of = 0;
            for (char c : text(PackedDataset.of(mixture).length(64), 100).toCharArray()) {
                of = c >= 'a' && c <= 'z' ? c - 'a' : of;
                total++;
                tokens[of]++;
                for (int i = 0; i < weights.length; i++) {
                    double ahead = tokens[i] - total * weights[i] / sum;
                    int others = Arrays.stream(longest).sum() - longest[i];
                    // BOS and EOS, and one that was counted for the source before
                    assertThat(ahead).isBetween(-others - 3.0 * weights.length, longest[i] + 3.0);
                }
            }
        }
    }

    @Test
    void eachSourceHasEpochsOfItsOwn() {
        Mixture mixture = Mixture.of(TextSource.of(texts('a', 100)), 1).and(TextSource.of(texts('b', 10)), 1);
        try (var batches =
                PackedDataset.of(mixture).length(64).batch(1).shuffle(4).iterator()) {
            for (int i = 0; i < 60_000; i++) {
                batches.next();
            }
            List<Position.SourcePosition> places = batches.position().sources();
            assertThat(places.get(0).tokens())
                    .isCloseTo(places.get(1).tokens(), org.assertj.core.data.Offset.offset(50L));
            assertThat(places.get(1).epoch())
                    .isBetween(
                            10 * places.get(0).epoch() - 10, 10 * places.get(0).epoch() + 20);
            assertThat(places.get(0).epoch()).isPositive();
        }
    }

    @Test
    void seekContinuesExactlyFromAnyBatch() throws Exception {
        Documents.gzip(directory.resolve("1.gz"), lines('j', 3000).getBytes());
        Documents.gzip(directory.resolve("2.gz"), lines('k', 20).getBytes());
        Mixture mixture = Mixture.of(TextSource.jsonLines(directory + "/*.gz", "text"), 0.6)
                .and(TextSource.of(texts('t', 300)), 0.3)
                .and(TextSource.of(texts('u', 3)), 0.1);
        Mixture longer = Mixture.of(TextSource.jsonLines(directory + "/*.gz", "text"), 0.6)
                .and(TextSource.of(texts('t', 3000)), 0.3)
                .and(TextSource.of("v".repeat(5000)), 0.1);
        for (PackedDataset data : List.of(
                PackedDataset.of(longer).length(1 << 12).batch(128).shuffle(3),
                PackedDataset.of(mixture).length(16).batch(4).shuffle(3),
                PackedDataset.of(mixture).length(16).batch(16).epochs(40))) {
            Documents.checkSeek(data, 5);
        }
    }

    @Test
    void ofOneSourceItIsThatSource() throws Exception {
        TextSource source = TextSource.of(texts('a', 50));
        PackedDataset alone = PackedDataset.of(source).length(16).batch(4).shuffle(2);
        assertThat(text(
                        PackedDataset.of(Mixture.of(source, 0.3))
                                .length(16)
                                .batch(4)
                                .shuffle(2),
                        20))
                .isEqualTo(text(alone, 20));
        assertThat(Mixture.of(source, 0.3).fingerprint())
                .isEqualTo(alone.mixture().fingerprint());
    }

    @Test
    void theFingerprintKnowsSourcesAndWeights() throws Exception {
        TextSource a = TextSource.of("a");
        TextSource b = TextSource.of("b");
        assertThat(List.of(
                        Mixture.of(a, 1).and(b, 1).fingerprint(),
                        Mixture.of(b, 1).and(a, 1).fingerprint(),
                        Mixture.of(a, 1).and(b, 2).fingerprint(),
                        Mixture.of(a, 1).fingerprint()))
                .doesNotHaveDuplicates();
    }

    @Test
    void badMixturesAreNamed() {
        TextSource a = TextSource.of("a");
        for (double weight : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertThatThrownBy(() -> Mixture.of(a, weight)).hasMessageContaining("weight is " + weight);
        }
        assertThatThrownBy(() -> new Mixture(List.of())).hasMessageContaining("at least one source");
        assertThatThrownBy(() -> Mixture.of(TextSource.of(), 1)).hasMessageContaining("no documents");
    }

    private static String lines(char letter, int count) {
        return Arrays.stream(texts(letter, count))
                .map(text -> "{\"text\":\"" + text + "\"}\n")
                .collect(Collectors.joining());
    }

    private static String[] texts(char letter, int count) {
        return IntStream.range(0, count)
                .mapToObj(i -> (letter + "" + letter + i % 10).repeat(i % 5 + 1))
                .toArray(String[]::new);
    }

    private static String text(PackedDataset data, int batches) {
        var all = new ArrayList<String>();
        try (var iterator = data.iterator()) {
            while (all.size() < batches) {
                all.add(text(iterator.next()));
            }
        }
        return String.join("", all);
    }

    /** With brackets for BOS and EOS. */
    private static String text(Batch batch) {
        var text = new StringBuilder();
        for (int id : batch.inputs_BxL()) {
            text.append(id == 0 ? "" : id == 1 ? "[" : id == 2 ? "]" : Character.toString(id - 3));
        }
        return text.toString();
    }
}
