package org.nanodo.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests which files are deleted when newer checkpoints are saved, and which are kept because a user made them. */
class RotationTest {
    @TempDir
    Path directory;

    private Path workdir;
    private CheckpointStore store;

    @BeforeEach
    void openStore() {
        workdir = directory.resolve("run");
        store = new CheckpointStore(workdir, 1);
    }

    @AfterEach
    void closeStore() {
        store.close();
    }

    private void save(long step) throws IOException {
        store.lock();
        store.save(step, new Contents().json("step", step));
        store.await();
    }

    private void restart() throws IOException {
        store.close();
        openStore();
        store.lock();
    }

    @Test
    void whatTheManifestDoesNotListIsMovedAside() throws Exception {
        save(1);
        Path old = workdir.resolve("step_00000001");
        Files.writeString(old.resolve("notes.txt"), "mine");
        Files.writeString(Files.createDirectories(old.resolve("plots/more")).resolve("loss.svg"), "mine too");
        save(2);
        restart();
        save(3);
        assertThat(workdir.toFile().list()).containsExactlyInAnyOrder("lock", "step_00000001.kept", "step_00000003");
        Path kept = workdir.resolve("step_00000001.kept");
        assertThat(kept.toFile().list()).containsExactlyInAnyOrder("notes.txt", "plots");
        assertThat(kept.resolve("plots/more/loss.svg")).hasContent("mine too");
    }

    /** Without a manifest nothing tells which of the files are a user's. */
    @Test
    void aDirectoryWithoutAReadableManifestIsMovedAside() throws Exception {
        save(1);
        Files.delete(workdir.resolve("step_00000001/manifest.json"));
        save(2);
        assertThat(workdir.resolve("step_00000001.kept/step")).hasContent("1");
        assertThat(workdir.resolve("step_00000001")).doesNotExist();
    }

    @Test
    void nothingIsDeletedThroughALink() throws Exception {
        save(1);
        Path real = Files.move(workdir.resolve("step_00000001"), directory.resolve("real"));
        Path link = Files.createSymbolicLink(workdir.resolve("step_00000001"), real);
        save(2);
        save(3);
        assertThat(real.toFile().list()).containsExactlyInAnyOrder("manifest.json", "step");
        assertThat(link).isSymbolicLink();
        assertThat(workdir.resolve("step_00000002")).as("rotation continues").doesNotExist();

        Path outside = Files.writeString(
                Files.createDirectories(directory.resolve("outside")).resolve("file"), "mine");
        Path left = Files.createDirectories(workdir.resolve("step_00000007.unfinished/below"));
        Files.createSymbolicLink(left.resolve("directory"), outside.getParent());
        Files.createSymbolicLink(left.resolve("file"), outside);
        Files.createSymbolicLink(workdir.resolve("step_00000008.unfinished"), outside.getParent());
        restart();
        assertThat(workdir.resolve("step_00000007.unfinished")).doesNotExist();
        assertThat(outside).hasContent("mine");
        assertThatThrownBy(() -> save(8)).hasMessageContaining("step_00000008.unfinished is in the way");
        assertThat(outside).hasContent("mine");
    }

    @Test
    void aCheckpointThatIsNotWholeKeepsItsNameUntilItsSuccessorIsOnDisk() throws Exception {
        save(1);
        Files.writeString(workdir.resolve("step_00000001/step"), "7");
        save(1);
        assertThat(workdir.toFile().list()).containsExactlyInAnyOrder("lock", "step_00000001");
        assertThat(workdir.resolve("step_00000001/step")).hasContent("1");
    }

    /** The same step may have another state, for example after an evaluation that was added later. */
    @Test
    void aStepWithOtherJsonIsReplaced() throws Exception {
        save(1);
        store.save(1, new Contents().json("step", "one"));
        store.await();
        assertThat(workdir.resolve("step_00000001/step")).hasContent("\"one\"");
        assertThat(store.latest()).hasValue(workdir.resolve("step_00000001"));
    }

    /** The process dies between the two renames of a replacement, or after them. */
    @Test
    void aReplacementThatWasInterruptedIsUndoneOrCompleted() throws Exception {
        save(1);
        Files.move(workdir.resolve("step_00000001"), workdir.resolve("step_00000001.replaced"));
        restart();
        assertThat(store.latest()).hasValue(workdir.resolve("step_00000001"));
        save(2);
        Files.createDirectories(workdir.resolve("step_00000001.replaced"));
        restart();
        assertThat(workdir.resolve("step_00000002/step")).hasContent("2");
    }

    @Test
    void aWorkdirThatIsMovedOrRemovedIsNotCreatedAgain() throws Exception {
        save(1);
        Path moved = Files.move(workdir, directory.resolve("moved"));
        assertThatThrownBy(() -> save(2)).hasMessageContaining(workdir + " was moved or removed");
        assertThat(workdir).doesNotExist();
        Files.createDirectories(workdir);
        assertThatThrownBy(() -> save(3)).hasMessageContaining(workdir + " was moved or removed");
        assertThat(workdir).isEmptyDirectory();
        Files.delete(workdir);
        Files.move(moved, workdir);
        save(4);
        assertThat(store.latest()).hasValue(workdir.resolve("step_00000004"));
    }

    @Test
    void aNameWithOneMoreZeroIsNotACheckpoint() throws Exception {
        save(1);
        Files.move(workdir.resolve("step_00000001"), workdir.resolve("step_000000009"));
        assertThat(store.latest()).isEmpty();
    }

    @Test
    void aClosedStoreSaysSo() throws Exception {
        save(1);
        store.close();
        store.close();
        assertThatThrownBy(() -> store.save(2, new Contents()))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("is closed");
        assertThatThrownBy(() -> store.lock()).hasMessageContaining("is closed");
    }
}
