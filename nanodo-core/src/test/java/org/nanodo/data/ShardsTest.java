package org.nanodo.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.Documents;
import org.nanodo.source.DocumentReader;
import org.nanodo.source.TextSource;
import org.nanodo.source.UnreadDocument;

/** Shards of unknown length as a dataset: order, seeking and failing. */
class ShardsTest {
    @TempDir
    Path directory;

    @Test
    void everyDocumentOnceAnEpochInANewOrderEachTime() throws Exception {
        TextSource source = shards(5, 0, 30, 1, 0, 12);
        PackedDataset data = PackedDataset.of(source).length(8).batch(1);
        List<String> plain = documents(data.epochs(2));
        List<String> all = IntStream.range(0, 5)
                .boxed()
                .flatMap(shard ->
                        IntStream.range(0, new int[] {0, 30, 1, 0, 12}[shard]).mapToObj(i -> shard + ":" + i))
                .toList();
        assertThat(plain.subList(0, 43)).isEqualTo(all);
        assertThat(plain.subList(43, 86)).isEqualTo(all);

        List<String> shuffled = documents(data.shuffle(1).epochs(2));
        assertThat(shuffled.subList(0, 43)).containsExactlyInAnyOrderElementsOf(all);
        assertThat(shuffled.subList(43, 86)).containsExactlyInAnyOrderElementsOf(all);
        assertThat(shuffled.subList(0, 43)).isNotEqualTo(all).isNotEqualTo(shuffled.subList(43, 86));
        assertThat(documents(data.shuffle(1).epochs(2))).isEqualTo(shuffled);
        assertThat(documents(data.shuffle(2).epochs(2))).isNotEqualTo(shuffled);
        Set<List<Integer>> orders = new HashSet<>();
        for (int seed = 0; seed < 20; seed++) {
            orders.add(documents(data.shuffle(seed).shuffleBuffer(1).epochs(1)).stream()
                    .map(document -> document.charAt(0) - '0')
                    .distinct()
                    .toList());
        }
        assertThat(orders).as("orders of three shards that have documents").hasSize(6);
    }

    @Test
    @Tag("slow")
    void seekContinuesExactlyFromAnyBatch() throws Exception {
        TextSource source = shards(6, 0, 700, 3, 0, 1200, 40);
        for (PackedDataset data : List.of(
                PackedDataset.of(source).length(1 << 12).batch(128).shuffle(3),
                PackedDataset.of(source).length(100).batch(7).epochs(2),
                PackedDataset.of(source.split(0.3, 1).train())
                        .length(16)
                        .batch(4)
                        .shuffle(3))) {
            Documents.checkSeek(data, 5);
        }
    }

    @Test
    void seekInsideABlockAndBehindIt() throws Exception {
        // More documents than are shuffled together, and windows that begin inside of such blocks.
        PackedDataset data =
                PackedDataset.of(shards(2, 20_000, 17_000)).shuffle(9).shuffleBuffer(2 << 20);
        Documents.checkSeek(data.length(1 << 14).batch(8), 5);
        DocumentOrder order = DocumentOrder.of(data.epochs(1), 0);
        var positions = new ArrayList<Position.SourcePosition>();
        var texts = new ArrayList<String>();
        for (var entry = order.next(); entry != null; entry = order.next()) {
            positions.add(entry.position());
            texts.add(Documents.text(entry.document()));
        }
        assertThat(new HashSet<>(texts)).hasSize(37_000).hasSize(texts.size());
        assertThat(new HashSet<>(positions)).hasSize(37_000);
        for (int i : new int[] {0, 1, 8191, 8192, 8193, 16_383, 16_384, 19_999, 20_000, 30_000, 36_999}) {
            order.seek(positions.get(i));
            for (int j = i; j < Math.min(i + 3, texts.size()); j++) {
                var entry = order.next();
                assertThat(entry.position()).isEqualTo(positions.get(j));
                assertThat(Documents.text(entry.document())).isEqualTo(texts.get(j));
            }
        }
        order.close();
    }

    @Test
    void trainingBeginsBeforeTheOtherShardsAreOpenedAndSeekOpensOnlyItsOwn() throws Exception {
        Set<Integer> opened = ConcurrentHashMap.newKeySet();
        TextSource files = shards(8, 40, 40, 40, 40, 40, 40, 40, 40);
        var source = new TextSource() {
            @Override
            public int size() {
                return 8;
            }

            @Override
            public String name(int shard) {
                return "shard " + shard;
            }

            @Override
            public DocumentReader open(int shard) throws IOException {
                opened.add(shard);
                DocumentReader few = files.open(shard);
                var endless = new UnreadDocument[] {few.next()};
                return () -> endless[0]; // a shard that never ends
            }
        };
        PackedDataset data = PackedDataset.of(source).length(1024).batch(64);
        try (var batches = data.iterator()) {
            batches.next();
            assertThat(opened).containsExactly(0);
            batches.seek(new Position(List.of(new Position.SourcePosition(3, 5, 17, 0, 0)), 2, 0));
            batches.next();
            assertThat(opened).containsExactlyInAnyOrder(0, 5);
        }
    }

    @Test
    void ranksTogetherServeWhatOneDoes() throws Exception {
        PackedDataset whole = PackedDataset.of(shards(3, 50, 70, 20))
                .length(16)
                .batch(6)
                .shuffle(3)
                .epochs(2);
        var ranks = IntStream.range(0, 3)
                .mapToObj(rank -> whole.shard(rank, 3).iterator())
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

    @Test
    void aDamagedShardIsToldWhenItsTurnComes() throws Exception {
        TextSource source = shards(3, 400, 400, 400);
        Path second = Path.of(source.name(1));
        byte[] bytes = Files.readAllBytes(second);
        Files.write(second, Arrays.copyOf(bytes, bytes.length / 2));
        try (var batches = PackedDataset.of(source).length(64).batch(8).iterator()) {
            assertThatThrownBy(batches::next)
                    .isInstanceOf(UncheckedIOException.class)
                    .hasMessageContaining(second + " is truncated");
        }
        Files.delete(second);
        try (var batches = PackedDataset.of(source).length(64).batch(8).iterator()) {
            assertThatThrownBy(batches::next).hasMessageContaining(second + " does not exist");
            assertThatThrownBy(batches::next).as("and again").hasMessageContaining(second + " does not exist");
        }
    }

    @Test
    void sourcesWithoutADocumentAreNamed() throws Exception {
        TextSource blank = shards(3, 0, 0, 0);
        for (long epochs : new long[] {1, PackedDataset.ENDLESS}) {
            try (var batches = PackedDataset.of(blank).epochs(epochs).iterator()) {
                assertThatThrownBy(batches::hasNext)
                        .hasMessageContaining("The source has no documents: none of its 3 shards");
            }
        }
        Path file = Files.writeString(directory.resolve("corrupt"), "{\n{\n");
        try (var batches = PackedDataset.of(
                        TextSource.jsonLines(file.toString(), "text").skipCorrupt())
                .iterator()) {
            assertThatThrownBy(batches::hasNext)
                    .hasMessageContaining("has no text in any of its documents, such as " + file);
        }
    }

    /** What lies deeper than the pattern reaches may be anything, and forbidden. */
    @Test
    void patternsLookNoDeeperThanTheyCan() throws Exception {
        Path deep = Files.createDirectories(directory.resolve("a/b"));
        Files.writeString(directory.resolve("one.jsonl"), "\uFEFF{\"text\":\"1\"}\n");
        Files.writeString(directory.resolve("a/two.jsonl"), "{\"text\":\"2\"}\n");
        Files.writeString(deep.resolve("three.jsonl"), "{\"text\":\"3\"}\n");
        assertThat(Documents.texts(TextSource.jsonLines(directory + "/*.jsonl", "text")))
                .containsExactly("1");
        assertThat(Documents.texts(TextSource.jsonLines(directory + "/*/*.jsonl", "text")))
                .containsExactly("2");
        assertThat(Documents.texts(TextSource.jsonLines(directory + "/**.jsonl", "text")))
                .containsExactly("3", "2", "1");
    }

    @Test
    void aPlaceBeyondTheShardIsNamed() throws Exception {
        try (var batches = PackedDataset.of(shards(2, 5, 5)).length(4).batch(1).iterator()) {
            batches.seek(new Position(List.of(new Position.SourcePosition(0, 1, 6, 0, 0)), 0, 0));
            assertThatThrownBy(batches::next).hasMessageContaining("beyond the end of its shard");
            assertThatThrownBy(() -> batches.seek(Position.start(2))).hasMessageContaining("2 documents or shards");
        }
    }

    /** Compressed files of documents "shard:number". */
    private TextSource shards(int count, int... documents) throws IOException {
        Path set = Files.createTempDirectory(directory, "shards");
        for (int shard = 0; shard < count; shard++) {
            var lines = new StringBuilder("\n");
            for (int i = 0; i < documents[shard]; i++) {
                lines.append("{\"id\":")
                        .append(i)
                        .append(",\"text\":\"")
                        .append(shard)
                        .append(':')
                        .append(i)
                        .append("\"}\n");
            }
            Documents.gzip(set.resolve(shard + ".json.gz"), lines.toString().getBytes());
        }
        return TextSource.jsonLines(set + "/*.json.gz", "text");
    }

    /** In the order of packing. */
    private static List<String> documents(PackedDataset data) throws IOException {
        var texts = new ArrayList<String>();
        var order = DocumentOrder.of(data, 0);
        for (var entry = order.next(); entry != null; entry = order.next()) {
            texts.add(Documents.text(entry.document()));
        }
        order.close();
        return texts;
    }
}
