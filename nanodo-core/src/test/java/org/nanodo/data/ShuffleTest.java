package org.nanodo.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.Documents;
import org.nanodo.data.DocumentOrder.Entry;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.Document;
import org.nanodo.source.DocumentReader;
import org.nanodo.source.TextSource;
import org.nanodo.source.UnreadDocument;
import org.nanodo.tokenizer.Tokenizer;

/** How far the order of documents reaches, and that any place in it is found again. */
class ShuffleTest {
    @TempDir
    Path directory;

    @Test
    void plainJsonLinesAreOnePermutationOfAllFiles() throws Exception {
        TextSource source = plain(20_000, 1, 20_000);
        PackedDataset data = PackedDataset.of(source).epochs(2).shuffle(1);
        List<String> order = texts(data);
        Set<String> all = Set.copyOf(Documents.texts(source));
        assertThat(all).hasSize(40_001);
        List<String> first = order.subList(0, 40_001);
        List<String> second = order.subList(40_001, 80_002);
        assertThat(new HashSet<>(first)).isEqualTo(all);
        assertThat(new HashSet<>(second)).isEqualTo(all).isNotEqualTo(first);
        assertThat(first).isNotEqualTo(second).isNotEqualTo(texts(data.epochs(1).shuffle(2)));
        for (String part : List.of("0:1[89]\\d{3}", "2:1[89]\\d{3}", "0:\\d{1,3}", "2:\\d{1,3}")) { // both files' ends
            assertThat(order.subList(0, 200)).as(part).anyMatch(text -> text.matches(part));
        }
        assertThat(source.index()).as("which has found all lines").isSameAs(source.index());
    }

    @Test
    void compressedFilesGoThroughABufferThatReachesAcrossThem() throws Exception {
        TextSource source = compressed(40, 40, 0, 40, 40);
        PackedDataset data = PackedDataset.of(source).epochs(2).shuffle(3).shuffleBuffer(1 << 20);
        List<String> order = texts(data);
        assertThat(order.subList(0, 160)).containsExactlyInAnyOrderElementsOf(Documents.texts(source));
        assertThat(order.subList(160, 320)).containsExactlyInAnyOrderElementsOf(Documents.texts(source));
        assertThat(order.subList(0, 160)).isNotEqualTo(order.subList(160, 320));
        assertThat(files(order.subList(0, 40))).as("of the first documents").hasSize(4);

        List<String> one = texts(data.shuffleBuffer(1));
        for (int i = 0; i < 160; i += 40) {
            assertThat(files(one.subList(i, i + 40)))
                    .as("a buffer of one document leaves files whole")
                    .hasSize(1);
        }
    }

    @Test
    void theBufferHoldsNoMoreThanItsSize() throws Exception {
        var found = new ArrayList<Integer>();
        var endless = new Endless(1000, found);
        PackedDataset data = PackedDataset.of(endless).shuffle(3).shuffleBuffer(100 * 1256);
        try (var order = DocumentOrder.of(data, 0)) {
            order.next();
            assertThat(found)
                    .as("a document's 1000 bytes and what it takes besides")
                    .hasSize(100);
        }
        found.clear();
        var two = Mixture.of(endless, 1).and(endless, 1);
        try (var order = DocumentOrder.of(PackedDataset.of(two).shuffle(3).shuffleBuffer(100 * 1256), 1)) {
            order.next();
            assertThat(found).as("the sources share it").hasSize(50);
        }
        PackedDataset large =
                PackedDataset.of(new Endless(Integer.MAX_VALUE / 2, found)).shuffle(3);
        try (var order = DocumentOrder.of(large.shuffleBuffer(1L << 50), 0)) {
            assertThatThrownBy(order::next)
                    .hasMessageContaining("A shuffle buffer of 1125899906842624 bytes")
                    .hasMessageContaining("set a smaller one, or raise -Xmx");
        }
        assertThatThrownBy(() -> data.shuffleBuffer(0)).hasMessageContaining("shuffle buffer of 0 bytes");
    }

    @Test
    void everyPlaceIsFoundAgain() throws Exception {
        TextSource compressed = compressed(30, 0, 50, 1, 40);
        TextSource plain = plain(30, 50, 1, 40);
        for (PackedDataset data : List.of(
                PackedDataset.of(plain),
                PackedDataset.of(plain).shuffleBuffer(20 * 300),
                PackedDataset.of(plain.skipCorrupt().split(0.3, 1).train()),
                PackedDataset.of(compressed),
                PackedDataset.of(compressed).shuffleBuffer(20 * 300),
                PackedDataset.of(compressed.split(0.3, 1).train().skipCorrupt()).shuffleBuffer(20 * 300))) {
            List<Entry> all = entries(data.shuffle(5).epochs(2));
            assertThat(all.stream().map(Entry::position).distinct()).hasSameSizeAs(all);
            try (var order = DocumentOrder.of(data.shuffle(5).epochs(2), 0)) {
                for (int i = all.size() - 1; i >= 0; i--) {
                    order.seek(all.get(i).position());
                    for (int j = i; j < Math.min(all.size(), i + 25); j++) {
                        Entry next = order.next();
                        assertThat(next.position()).isEqualTo(all.get(j).position());
                        assertThat(Documents.text(next.document()))
                                .isEqualTo(Documents.text(all.get(j).document()));
                    }
                }
                assertThatThrownBy(() -> order.seek(new SourcePosition(0, 1, 0, 1000, 0)))
                        .hasMessageContaining("beyond the end");
                assertThatThrownBy(() -> order.seek(new SourcePosition(0, 1000, 0, 0, 0)))
                        .hasMessageContaining("beyond the end");
            }
        }
    }

    @Test
    void ranksTogetherServeWhatOneDoesOfPlainFiles() throws Exception {
        PackedDataset data = PackedDataset.of(plain(50, 70, 20))
                .length(16)
                .batch(6)
                .shuffle(3)
                .epochs(2);
        Documents.checkSeek(data, 20);
        try (var all = data.iterator();
                var first = data.shard(0, 2).iterator();
                var second = data.shard(1, 2).iterator()) {
            while (all.hasNext()) {
                int[] together = IntStream.concat(
                                IntStream.of(first.next().inputs_BxL()),
                                IntStream.of(second.next().inputs_BxL()))
                        .toArray();
                assertThat(together).isEqualTo(all.next().inputs_BxL());
            }
        }
    }

    /** Or documents would be learnt from that are evaluated on, in the order of the file. */
    @Test
    void aSplitIsTheSameByNumberAndInOrder() throws Exception {
        TextSource source = plain(700, 300);
        for (TextSource side : List.of(
                source.split(0.3, 1).train(),
                source.split(0.3, 1).validation(),
                source.skipCorrupt().split(0.3, 1).validation())) {
            List<String> inOrder = texts(PackedDataset.of(side).epochs(1));
            List<String> shuffled = texts(PackedDataset.of(side).epochs(1).shuffle(1));
            assertThat(shuffled).isNotEqualTo(inOrder).containsExactlyInAnyOrderElementsOf(inOrder);
        }
    }

    @Test
    void aFileThatIsDamagedLeavesThePlaceWhereTheBufferBegins() throws Exception {
        TextSource source = compressed(5, 5, 5, 5);
        PackedDataset data = PackedDataset.of(source).epochs(1).shuffle(3).shuffleBuffer(2000);
        List<Entry> whole = entries(data);
        Path last = Path.of(source.name(
                Documents.text(whole.get(whole.size() - 1).document()).charAt(0) - '0'));
        byte[] bytes = Files.readAllBytes(last);
        Files.write(last, java.util.Arrays.copyOf(bytes, bytes.length - 20));
        try (var order = DocumentOrder.of(data, 0)) {
            int[] taken = {0};
            assertThatThrownBy(() -> {
                        while (order.next() != null) {
                            taken[0]++;
                        }
                    })
                    .hasMessageContaining(last + " is truncated");
            assertThat(order.position()).isEqualTo(whole.get(taken[0]).position());
        }
    }

    /** A run whose checkpoint an earlier version wrote resumes in this order. */
    @Test
    void documentsThatAreFilesOrLinesKeepTheirOrder() {
        String[] letters = "abcdefghijkl".split("");
        PackedDataset data = PackedDataset.of(TextSource.of(letters)).epochs(2).shuffle(7);
        assertThat(String.join("", texts(data))).isEqualTo("cilbdfjghkeaheblfcigkdaj");
        assertThat(String.join("", texts(data.shuffleBuffer(1)))).isEqualTo("cilbdfjghkeaheblfcigkdaj");
        assertThat(data.documentOrder()).isNull();
    }

    @Test
    void aDatasetSaysHowItOrdersDocuments() throws Exception {
        TextSource plain = plain(1);
        PackedDataset mixed = PackedDataset.of(Mixture.of(plain, 1).and(compressed(1), 1));
        assertThat(mixed.documentOrder()).isNull();
        assertThat(mixed.shuffle(1).documentOrder()).isEqualTo("permutation, buffer of 134217728 bytes");
        assertThat(PackedDataset.of(plain).shuffle(1).documentOrder()).isEqualTo("permutation");
        assertThat(PackedDataset.of(plain).shuffle(1).shuffleBuffer(9).documentOrder())
                .isEqualTo("buffer of 9 bytes");
    }

    @Test
    void aPlainLineIsNamedByItsNumberInTheFile() throws Exception {
        Path file = Files.writeString(
                directory.resolve("some.jsonl"),
                "\uFEFF{\"text\":\"a\"}\r\n\r\n \t\n{\"text\":7}\n\n\n{\"text\":\"b\"}");
        TextSource source = TextSource.jsonLines(file.toString(), "text");
        assertThat(source.index().first(1)).isEqualTo(3);
        assertThatThrownBy(() -> texts(PackedDataset.of(source).epochs(1).shuffle(1)))
                .hasMessageContaining(file + " line 4: field \"text\" is not a string but 7");
        assertThat(texts(PackedDataset.of(source.skipCorrupt()).epochs(1).shuffle(1)))
                .containsExactlyInAnyOrder("a", "", "b");
    }

    /** A shard that never ends. */
    private record Endless(int bytes, List<Integer> found) implements TextSource {
        @Override
        public int size() {
            return 1;
        }

        @Override
        public String name(int shard) {
            return "endless";
        }

        @Override
        public DocumentReader open(int shard) {
            return () -> {
                found.add(found.size());
                return new UnreadDocument() {
                    @Override
                    public Tokens tokens(Tokenizer tokenizer) throws IOException {
                        return new Document("one", "text", 0).encode(tokenizer);
                    }

                    @Override
                    public int bytes() {
                        return bytes;
                    }
                };
            };
        }
    }

    private static Set<Character> files(List<String> texts) {
        return texts.stream().map(text -> text.charAt(0)).collect(Collectors.toSet());
    }

    private static List<Entry> entries(PackedDataset data) throws IOException {
        var all = new ArrayList<Entry>();
        try (var order = DocumentOrder.of(data, 0)) {
            for (var entry = order.next(); entry != null; entry = order.next()) {
                all.add(entry);
            }
        }
        return all;
    }

    private static List<String> texts(PackedDataset data) {
        var texts = new ArrayList<String>();
        try {
            for (Entry entry : entries(data)) {
                texts.add(Documents.text(entry.document()));
            }
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e.getMessage(), e);
        }
        return texts;
    }

    private TextSource plain(int... documents) throws IOException {
        Path set = Files.createTempDirectory(directory, "plain");
        for (var file : lines(documents).entrySet()) {
            Files.writeString(set.resolve(file.getKey() + ".jsonl"), file.getValue());
        }
        return TextSource.jsonLines(set + "/*.jsonl", "text");
    }

    private TextSource compressed(int... documents) throws IOException {
        Path set = Files.createTempDirectory(directory, "compressed");
        for (var file : lines(documents).entrySet()) {
            Documents.gzip(set.resolve(file.getKey() + ".gz"), file.getValue().getBytes());
        }
        return TextSource.jsonLines(set + "/*.gz", "text");
    }

    /** Of each file documents "file:number", some of them after blank lines. */
    private static Map<Integer, String> lines(int... documents) {
        return IntStream.range(0, documents.length)
                .boxed()
                .collect(Collectors.toMap(
                        file -> file,
                        file -> "\n"
                                + IntStream.range(0, documents[file])
                                        .mapToObj(i -> (i % 7 == 3 ? " \r\n\n" : "") + "{\"text\":\"" + file + ":" + i
                                                + "\"}\n")
                                        .collect(Collectors.joining())));
    }
}
