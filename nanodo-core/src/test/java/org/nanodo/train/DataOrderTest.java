package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.data.DataShape;
import org.nanodo.data.PackedDataset;
import org.nanodo.data.Position;
import org.nanodo.files.Json;
import org.nanodo.source.TextSource;

/** Resuming checkpoints of versions that shuffled differently. */
class DataOrderTest {
    @TempDir
    Path directory;

    @Test
    void aPlaceFromBeforeTheBufferIsRead() {
        var place = new Position.SourcePosition(1, 2, 3, 0, 4);
        assertThat(Json.read("{\"epoch\":1,\"shard\":2,\"document\":3,\"tokens\":4}", Position.SourcePosition.class))
                .isEqualTo(place);
        var drawn = new Position.SourcePosition(1, 2, 3, 5, 4);
        assertThat(Json.read(Json.write(drawn), Position.SourcePosition.class)).isEqualTo(drawn);
    }

    @Test
    void onlyShuffledShardsHaveAnotherOrderThanBefore() throws Exception {
        Path file = Files.writeString(directory.resolve("f.jsonl"), "{\"text\":\"a\"}\n");
        PackedDataset lines = PackedDataset.of(TextSource.lines(file));
        PackedDataset json = PackedDataset.of(TextSource.jsonLines(file.toString(), "text"));
        assertThat(differences(lines)).isEmpty();
        assertThat(differences(lines.shuffle(1))).isEmpty();
        assertThat(differences(json)).isEmpty();
        assertThat(differences(json.shuffle(1)))
                .isEqualTo("order of documents was blocks of 16 MiB, of an earlier version, is permutation");
        assertThat(differences(json.shuffle(1).shuffleBuffer(1000)))
                .isEqualTo("order of documents was blocks of 16 MiB, of an earlier version, is buffer of 1000 bytes");
        assertThat(DataShape.of(json.shuffle(1))
                        .differences(DataShape.of(json.shuffle(1).shuffleBuffer(7))))
                .isEqualTo("order of documents was permutation, is buffer of 7 bytes");
    }

    /** Returns the differences between a checkpoint of an earlier version and now. */
    private static String differences(PackedDataset data) throws Exception {
        DataShape now = DataShape.of(data);
        String before = Json.write(now).replaceAll("\"documentOrder\" : (null|\"[^\"]*\"),", "");
        assertThat(before).doesNotContain("documentOrder");
        return Json.read(before, DataShape.class).differences(now);
    }
}
