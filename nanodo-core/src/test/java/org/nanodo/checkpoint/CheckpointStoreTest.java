package org.nanodo.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Manifest;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;

class CheckpointStoreTest {
    @TempDir
    Path workdir;

    private CheckpointStore store;

    @AfterEach
    void close() {
        if (store != null) {
            store.close();
        }
    }

    @Test
    void keepsTheNewestAndEveryKth() throws Exception {
        store = new CheckpointStore(workdir, 2, 100);
        for (long step : new long[] {0, 5, 100, 130, 200, 250, 123_456_789_012L}) {
            save(step);
        }
        assertThat(workdir.toFile().list())
                .containsExactlyInAnyOrder("step_00000100", "step_00000200", "step_00000250", "step_123456789012");
        assertThat(store.latest()).hasValue(workdir.resolve("step_123456789012"));
    }

    @Test
    void aSaveCopiesAndLeavesTheWritingToAThread() throws Exception {
        store = new CheckpointStore(workdir, 2);
        Tensor tensor = Tensors.floats(Device.cpu(), new float[] {1, 2}, 2);
        for (float[] expected : new float[][] {{1, 2}, {7, 7}}) {
            store.save((long) expected[0], new Contents().tensors("t", Slice.all(Map.of("t", tensor))));
            Tensors.fill(tensor, 7); // the next step of training
            store.await();
            assertThat(read(store.path((long) expected[0]))).containsExactly(expected);
        }
    }

    @Test
    void theRanksPartsBecomeACheckpointWhenAllAreWritten() throws Exception {
        store = new CheckpointStore(workdir, 1);
        try (var other = new CheckpointStore(workdir, 1)) {
            store.save(3, part(0, 0, 1, 2));
            store.awaitWritten();
            assertThat(store.isWritten()).isTrue();
            other.save(3, part(1, 2, 3));
            other.awaitWritten();
            assertThat(store.latest()).isEmpty();
            other.commit();
            store.commit();
            other.await();
            store.await();
        }
        Path checkpoint = store.path(3);
        Manifest.verify(checkpoint);
        assertThat(workdir.toFile().list()).containsExactly("step_00000003");
        assertThat(checkpoint.toFile().list())
                .containsExactlyInAnyOrder(
                        "manifest.json",
                        "of-rank-0.json",
                        "t.rank-00000-of-00002.safetensors",
                        "t.rank-00001-of-00002.safetensors");
        assertThat(read(checkpoint)).containsExactly(1, 2, 3);
        Files.delete(checkpoint.resolve("t.rank-00001-of-00002.safetensors"));
        assertThatThrownBy(() -> Manifest.verify(checkpoint)).hasMessageContaining("rank-00001-of-00002.safetensors");
        assertThatThrownBy(() -> read(checkpoint)).hasMessageContaining("rank-00001-of-00002.safetensors: is missing");
        Files.delete(checkpoint.resolve("manifest.json"));
        assertThatThrownBy(() -> read(checkpoint)).hasMessageContaining("lacks elements of \"t\" from 2 on");
    }

    @Test
    void withoutAllPartsThePreviousCheckpointStays() throws Exception {
        store = new CheckpointStore(workdir, 1);
        save(1);
        store.save(3, part(0, 0, 1, 2));
        store.awaitWritten();
        assertThatThrownBy(store::await).hasMessageContaining("not every rank has written its part");
        try (var other = new CheckpointStore(workdir, 1)) {
            other.save(4, part(1, 2, 3));
            other.await();
        }
        assertThat(workdir.toFile().list()).containsExactlyInAnyOrder("step_00000001", "step_00000004.rank-1");
        store.save(4, part(0, 0, 1, 2));
        store.close(); // as a trainer that fails does
        store = new CheckpointStore(workdir, 1);
        assertThat(store.latest()).hasValue(store.path(1));
        store.lock();
        assertThat(workdir.toFile().list()).containsExactlyInAnyOrder("step_00000001", "lock");
    }

    @Test
    void aStepThatIsSavedAlreadyStaysAndThePartsAreDeleted() throws Exception {
        store = new CheckpointStore(workdir, 1);
        store.save(3, new Contents().json("of-rank-0.json", 0));
        store.await();
        try (var other = new CheckpointStore(workdir, 1)) {
            other.save(3, part(1, 2, 3));
            other.await();
        }
        store.save(3, part(0, 0, 1, 2));
        store.commit();
        store.await();
        assertThat(workdir.toFile().list()).containsExactly("step_00000003");
        assertThat(store.path(3).toFile().list()).containsExactlyInAnyOrder("manifest.json", "of-rank-0.json");
    }

    /** A rank's part of a tensor of three elements. */
    private static Contents part(int rank, long start, float... values) {
        var slice = new Slice(Tensors.floats(Device.cpu(), values, values.length), new long[] {3}, start);
        return new Contents(rank, 2).json("of-rank-" + rank + ".json", rank).tensors("t", Map.of("t", slice));
    }

    private static float[] read(Path checkpoint) throws IOException {
        try (var set = TensorSet.open(checkpoint, "t")) {
            return Tensors.toFloats(set.read("t", Device.cpu()));
        }
    }

    @Test
    @Tag("slow")
    void anInterruptDoesNotTakeTheMemoryFromUnderASave() throws Exception {
        store = new CheckpointStore(workdir, 2);
        Tensor large = Tensors.zeros(Device.cpu(), 16 << 20);
        store.save(1, new Contents().tensors("t", Slice.all(Map.of("t", large))));
        Thread.currentThread().interrupt();
        store.await();
        assertThat(Thread.interrupted()).isTrue();
        assertThat(store.latest()).isPresent();
    }

    @Test
    void aSaveThatFailsThrowsOnceAndLeavesOnlyThePreviousCheckpoint() throws Exception {
        store = new CheckpointStore(workdir, 1);
        save(1);
        store.save(2, new Contents().json("no/such/directory", "ha"));
        assertThatThrownBy(() -> store.await())
                .isInstanceOf(IOException.class)
                .hasMessageContaining("earlier ones are kept")
                .hasMessageContaining("no/such/directory");
        assertThat(store.isWritten()).isFalse();
        assertThat(workdir.toFile().list()).containsExactly("step_00000001");
        store.save(3, new Contents().json("no/such/directory", "ha"));
        assertThatThrownBy(() -> save(4)).hasMessageContaining("NoSuchFileException");
        assertThat(store.latest()).hasValue(workdir.resolve("step_00000001"));
        save(4);
        assertThat(store.latest()).hasValue(workdir.resolve("step_00000004"));
    }

    @Test
    void anUnfinishedDirectoryIsNoCheckpoint() throws Exception {
        Path left = Files.createDirectories(workdir.resolve("step_00000007.unfinished"));
        Files.writeString(left.resolve("file"), "ha");
        store = new CheckpointStore(workdir, 1);
        assertThat(store.latest()).isEmpty();
        assertThat(store.isEmpty()).isTrue();
        save(7);
        assertThat(workdir.resolve("step_00000007").toFile().list()).containsExactlyInAnyOrder("manifest.json", "step");
        Files.createDirectories(left);
        store.lock();
        assertThat(left).doesNotExist();
    }

    @Test
    void anExistingDirectoryIsNotOverwritten() throws Exception {
        Path target = Files.createDirectories(workdir.resolve("model"));
        assertThatThrownBy(() -> AtomicDirectory.create(target, directory -> {}))
                .isInstanceOf(FileAlreadyExistsException.class)
                .hasMessageContaining("model exists");
    }

    /** Changes every byte of every file, and cuts it at every length. Only the manifest's white space may change. */
    @Test
    void noFlippedByteAndNoTruncationGoesUnnoticed() throws Exception {
        store = new CheckpointStore(workdir, 3);
        save(1);
        store.save(
                2,
                new Contents()
                        .json("b.json", Map.of("text", "größer"))
                        .tensors("a", Slice.all(Map.of("t", Tensors.zeros(Device.cpu(), 5, 3)))));
        store.await();
        var random = new Random(1);
        Path newest = workdir.resolve("step_00000002");
        for (String name : newest.toFile().list()) {
            Path file = newest.resolve(name);
            byte[] whole = Files.readAllBytes(file);
            for (int i = 0; i < whole.length; i++) {
                byte[] flipped = whole.clone();
                flipped[i] ^= (byte) (i % 2 == 0 ? 1 << random.nextInt(8) : 1 + random.nextInt(255));
                byte[] cut = Arrays.copyOf(whole, i);
                for (byte[] bytes : List.of(flipped, cut)) {
                    if (name.equals(Manifest.NAME) && withoutWhiteSpace(bytes).equals(withoutWhiteSpace(whole))) {
                        continue;
                    }
                    Files.write(file, bytes);
                    assertCorrupt(newest, name + " with byte " + i + " changed, or cut there");
                }
            }
            Files.delete(file);
            assertCorrupt(newest, name + " missing");
            Files.write(file, whole);
        }
        assertThat(store.latest()).hasValue(newest);
    }

    private static String withoutWhiteSpace(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1).replaceAll("[ \\t\\r\\n]", "");
    }

    private static void assertCorrupt(Path checkpoint, String how) {
        assertThatThrownBy(() -> Manifest.verify(checkpoint))
                .as(how)
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining(checkpoint.toString());
    }

    @Test
    void fallsBackToTheNewestWholeCheckpointAndContinuesFromIt() throws Exception {
        store = new CheckpointStore(workdir, 2);
        save(2);
        save(4);
        Path broken = workdir.resolve("step_00000004");
        Files.writeString(broken.resolve("step"), "5");
        assertThat(store.latest()).hasValue(workdir.resolve("step_00000002"));
        save(3); // of the run that continues from step 2
        assertThat(workdir.toFile().list())
                .containsExactlyInAnyOrder("step_00000002", "step_00000003", "step_00000004");
        assertThat(store.latest()).hasValue(workdir.resolve("step_00000003"));
        save(4);
        assertThat(store.latest()).hasValue(broken);
        assertThat(workdir.toFile().list())
                .as("the replaced checkpoint is deleted")
                .containsExactlyInAnyOrder("step_00000003", "step_00000004");
    }

    @Test
    void withoutAWholeCheckpointThereIsAnErrorInsteadOfAFreshStart() throws Exception {
        store = new CheckpointStore(workdir, 2);
        save(2);
        save(4);
        Files.delete(workdir.resolve("step_00000002/step"));
        Files.delete(workdir.resolve("step_00000004/manifest.json"));
        assertThatThrownBy(() -> store.latest())
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining("none of the 2 checkpoints")
                .hasMessageContaining("manifest.json: is missing");
    }

    /** Otherwise a run without file descriptors would silently lose the steps since the previous checkpoint. */
    @Test
    void aCheckpointThatCannotBeOpenedIsNotSkipped() throws Exception {
        store = new CheckpointStore(workdir, 2);
        save(2);
        save(4);
        Path manifest = workdir.resolve("step_00000004/manifest.json");
        Files.delete(manifest);
        Files.createSymbolicLink(manifest, manifest.getFileName()); // to itself
        assertThatThrownBy(() -> store.latest())
                .isInstanceOf(FileSystemException.class)
                .hasMessageContaining(manifest.toString());
    }

    @Test
    void aManifestNamesFilesBesideItOnly() throws Exception {
        Path outside = Files.writeString(workdir.resolve("outside"), "");
        Path directory = Files.createDirectories(workdir.resolve("step_00000001"));
        for (String name : new String[] {"../outside", outside.toString(), "manifest.json", ""}) {
            Files.writeString(
                    directory.resolve("manifest.json"),
                    "{\"files\":{\"%s\":{\"length\":0,\"sha256\":\"\"}}}".formatted(name));
            assertThatThrownBy(() -> Manifest.verify(directory)).hasMessageContaining("is not the name of a file");
        }
    }

    @Test
    void findsACheckpointByItsOwnDirectoryOrItsRuns() throws Exception {
        store = new CheckpointStore(workdir, 2);
        assertThatThrownBy(() -> CheckpointStore.find(workdir))
                .isInstanceOf(NoSuchFileException.class)
                .hasMessageContaining("holds no checkpoint");
        save(2);
        save(4);
        assertThat(CheckpointStore.find(workdir)).isEqualTo(workdir.resolve("step_00000004"));
        Path older = workdir.resolve("step_00000002");
        assertThat(CheckpointStore.find(older)).isEqualTo(older);
        Files.delete(older.resolve("step"));
        assertThatThrownBy(() -> CheckpointStore.find(older)).hasMessageContaining("step: is missing");
    }

    @Test
    void oneRunAtATimeHoldsADirectory() throws Exception {
        store = new CheckpointStore(workdir, 1);
        store.lock();
        store.lock();
        var second = new CheckpointStore(workdir.resolve("../" + workdir.getFileName()), 1);
        assertThatThrownBy(second::lock)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("Another run is writing to ");
        store.close();
        second.lock();
        second.close();
    }

    @Test
    void aDirectoryThatCannotBeWrittenIsNamedAtOnce() throws Exception {
        Path file = Files.writeString(workdir.resolve("file"), "");
        for (Path directory : new Path[] {file, file.resolve("below")}) {
            store = new CheckpointStore(directory, 1);
            assertThatThrownBy(() -> store.lock())
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("Nothing can be written to " + directory);
        }
        Path locked = Files.createDirectories(workdir.resolve("run"));
        Files.createDirectories(locked.resolve("lock"));
        assertThatThrownBy(() -> new CheckpointStore(locked, 1).lock()).hasMessageContaining("Nothing can be written");
    }

    private void save(long step) throws IOException {
        store.save(step, new Contents().json("step", step));
        store.await();
    }
}
