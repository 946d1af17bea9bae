package org.nanodo.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointStoreTest {
    @TempDir
    Path workdir;

    @Test
    void keepsTheNewest() throws Exception {
        var store = new CheckpointStore(workdir, 2);
        for (long step : new long[] {5, 100, 123_456_789_012L}) {
            store.save(step, directory -> Files.writeString(directory.resolve("step"), "" + step));
        }
        assertThat(workdir.toFile().list()).containsExactlyInAnyOrder("step_00000100", "step_123456789012");
        assertThat(store.latest()).hasValue(workdir.resolve("step_123456789012"));
    }

    @Test
    void aSaveThatFailsLeavesThePreviousOneAndNothingElse() throws Exception {
        var store = new CheckpointStore(workdir, 1);
        store.save(1, directory -> Files.writeString(directory.resolve("file"), "whole"));
        assertThatThrownBy(() -> store.save(2, directory -> {
                    Files.writeString(directory.resolve("file"), "ha");
                    throw new IOException("No space left on device");
                }))
                .hasMessage("No space left on device");
        assertThat(workdir.toFile().list()).containsExactly("step_00000001");
        assertThat(store.latest().orElseThrow().resolve("file")).hasContent("whole");
    }

    @Test
    void whatADeadProcessLeftIsNoCheckpoint() throws Exception {
        Files.createDirectories(workdir.resolve("step_00000007.unfinished"));
        Files.writeString(workdir.resolve("step_00000007.unfinished").resolve("file"), "ha");
        var store = new CheckpointStore(workdir, 1);
        assertThat(store.latest()).isEmpty();
        store.save(7, directory -> Files.writeString(directory.resolve("file"), "whole"));
        assertThat(workdir.resolve("step_00000007").resolve("file")).hasContent("whole");
    }

    @Test
    void anExistingFolderIsNotOverwritten() throws Exception {
        Path target = Files.createDirectories(workdir.resolve("model"));
        assertThatThrownBy(() -> AtomicDirectory.create(target, directory -> {}))
                .isInstanceOf(FileAlreadyExistsException.class)
                .hasMessageContaining("model exists");
    }
}
