package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TinyRun;
import org.nanodo.data.DataShape;
import org.nanodo.data.PackedDataset;
import org.nanodo.files.Json;
import org.nanodo.model.DecoderModel;
import org.nanodo.source.TextSource;

/** Resuming after the corpus has changed. The edits are where the fingerprint does not look: in the third section of 40. */
class ChangedDataTest {
    private static final FileTime THEN = FileTime.fromMillis(1_600_000_000_000L);

    @TempDir
    Path directory;

    private Path text;

    @BeforeEach
    void trains() throws Exception {
        text = Files.createDirectories(directory.resolve("corpus")).resolve("text");
        write("some words", THEN);
        resume(2, false);
    }

    @Test
    void anEditIsRefusedUnlessAllowed() throws Exception {
        write("sOme words", FileTime.fromMillis(THEN.toMillis() + 1));
        assertThatThrownBy(() -> resume(4, false))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("text was 4000 bytes, written at 2020-09-13T12:26:40Z, it is now 4000 bytes")
                .hasMessageContaining("12:26:40.001Z")
                .hasMessageContaining("copy")
                .hasMessageContaining("allow_changed_data=true, in a program allowChangedData(true)");
        assertThat(resume(4, true)).isEqualTo(4);
    }

    @Test
    void aMovedDirectoryIsNotAnEdit() throws Exception {
        text = Files.move(text.getParent(), directory.resolve("moved")).resolve("text");
        assertThat(resume(4, false)).isEqualTo(4);
    }

    @Test
    void aCheckpointFromBeforeFilesWereKeptIsRead() throws Exception {
        Path run = directory.resolve("run/step_00000002/run.json");
        var tree = (ObjectNode) new ObjectMapper().readTree(Files.readString(run));
        var files = ((ObjectNode) tree.get("data")).remove("files");
        assertThat(files.toString()).isEqualTo("[{\"name\":\"text\",\"bytes\":4000,\"modified\":1600000000000}]");
        RunState old = Json.read(tree.toString(), RunState.class);
        RunState now = Json.read(run, RunState.class);
        assertThat(old.data().changedFile(now.data(), true)).isNull();
        assertThat(old.data().differences(now.data())).isEmpty();
    }

    /** Every rank checks its own host's copy, whose times differ from those on rank 0. */
    @Test
    void timesOfACopyOnAnotherHostDoNotCount() throws Exception {
        RunState saved = Json.read(directory.resolve("run/step_00000002/run.json"), RunState.class);
        Files.setLastModifiedTime(text, FileTime.fromMillis(1_700_000_000_000L));
        var copy = DataShape.of(
                PackedDataset.of(TextSource.sections(text, 100)).length(8).batch(2));
        assertThat(saved.data().changedFile(copy, true)).contains("text was 4000 bytes");
        assertThat(saved.data().changedFile(copy, false)).isNull();
    }

    private long resume(long steps, boolean allows) throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = Trainer.of(model)
                        .data(PackedDataset.of(TextSource.sections(text, 100))
                                .length(8)
                                .batch(2))
                        .steps(steps)
                        .checkpoints(directory.resolve("run"))
                        .allowChangedData(allows)
                        .build()) {
            trainer.resume();
            trainer.run();
            return trainer.step();
        }
    }

    private void write(String words, FileTime time) throws Exception {
        String section = "0123456789".repeat(9) + "012345678\n";
        String edited = words + section.substring(words.length());
        Files.writeString(text, section.repeat(2) + edited + section.repeat(37));
        Files.setLastModifiedTime(text, time);
    }
}
