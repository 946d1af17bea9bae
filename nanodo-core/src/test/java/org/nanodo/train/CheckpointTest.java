package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TinyRun;
import org.nanodo.checkpoint.Slice;
import org.nanodo.data.PackedDataset;
import org.nanodo.files.CorruptFileException;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.ModelFiles;
import org.nanodo.optim.Optimizer;
import org.nanodo.source.TextSource;

/** Runs whose checkpoints or directory are damaged, blocked or those of another run. */
class CheckpointTest {
    private static final String[] FILES = {
        "config.json", "model.safetensors", "optimizer.safetensors", "run.json", "tokenizer.json", "manifest.json"
    };

    @TempDir
    Path workdir;

    /** Cuts every file at each KiB, removes it, or flips a byte: the run resumes from step 2 instead of 4, with its numbers. */
    @Test
    @Tag("slow")
    void aDamagedCheckpointIsPassedOver() throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer =
                        TinyRun.builder(model, 4).checkpoints(workdir, 2, 2).build()) {
            trainer.run();
            Map<String, Tensor> atFour = TinyRun.parameters(model);
            Path newest = workdir.resolve("step_00000004");
            Files.move(newest, workdir.resolve("aside"));
            trainer.resume();
            Map<String, Tensor> atTwo = TinyRun.parameters(model);
            Files.move(workdir.resolve("aside"), newest);
            var random = new Random(1);
            for (String name : FILES) {
                Path file = newest.resolve(name);
                byte[] whole = Files.readAllBytes(file);
                var damaged = new ArrayList<byte[]>();
                for (int length = 0; length < whole.length; length += 1024) {
                    damaged.add(Arrays.copyOf(whole, length));
                }
                for (int i = 0; i < 10; i++) {
                    byte[] flipped = whole.clone();
                    flipped[random.nextInt(whole.length)] ^= (byte) 0x80;
                    damaged.add(flipped);
                }
                for (byte[] bytes : damaged) {
                    Files.write(file, bytes);
                    assertThat(trainer.resume().step()).as(name).isEqualTo(2);
                }
                Files.delete(file);
                assertThat(trainer.resume().step()).as(name).isEqualTo(2);
                TinyRun.assertSameBits(TinyRun.parameters(model), atTwo);
                Files.write(file, whole);
            }
            assertThat(trainer.resume().step()).isEqualTo(4);
            TinyRun.assertSameBits(TinyRun.parameters(model), atFour);
        }
    }

    @Test
    void theUntrainedModelIsSavedWhereThatIsAskedFor() throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var other = DecoderModel.create(TinyRun.config(false), 2);
                var trainer = TinyRun.builder(model, 2)
                        .checkpoints(workdir)
                        .checkpointAtStart(true)
                        .build();
                var fork = TinyRun.builder(other, 2).build()) {
            Map<String, Tensor> untrained = TinyRun.parameters(model);
            trainer.run();
            assertThat(fork.restoreFrom(workdir.resolve("step_00000000")).step())
                    .isZero();
            TinyRun.assertSameBits(TinyRun.parameters(other), untrained);
            fork.run();
            TinyRun.assertSameBits(TinyRun.parameters(other), TinyRun.parameters(model));
        }
    }

    /** Only the end of a run waits for its last save. */
    @Test
    void aDirectoryThatIsGoneBeforeTheLastSaveEndsTheRun() throws Exception {
        Path run = workdir.resolve("run");
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 3)
                        .checkpoints(run, 1000, 3)
                        .listen(metrics -> {
                            if (metrics.step() == 2) {
                                try {
                                    Files.move(run, workdir.resolve("moved"));
                                } catch (IOException e) {
                                    throw new UncheckedIOException(e);
                                }
                            }
                        })
                        .build()) {
            assertThatThrownBy(trainer::run).isInstanceOf(IOException.class).hasMessageContaining(run.toString());
            assertThat(run).doesNotExist();
        }
    }

    @Test
    void withoutAWholeCheckpointNothingStartsAfresh() throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 2).checkpoints(workdir).build()) {
            trainer.run();
            for (String name : FILES) {
                Path file = workdir.resolve("step_00000002").resolve(name);
                byte[] whole = Files.readAllBytes(file);
                Files.write(file, Arrays.copyOf(whole, whole.length / 2));
                assertThatThrownBy(trainer::resume)
                        .isInstanceOf(CorruptFileException.class)
                        .hasMessageContaining("none of the 1 checkpoints is whole")
                        .hasMessageContaining(name);
                Files.write(file, whole);
            }
            trainer.resume();
        }
    }

    /** The save after step 4 is blocked: the run ends with its error and keeps step 2. */
    @Test
    void aSaveThatFailsEndsTheRunAndLeavesTheOneBefore() throws Exception {
        var steps = new ArrayList<Long>();
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 1_000_000)
                        .checkpoints(workdir, 2, 5)
                        .listen(metrics -> {
                            steps.add(metrics.step());
                            if (metrics.step() == 3) {
                                put("in the way", workdir.resolve("step_00000004.unfinished"));
                            }
                        })
                        .build()) {
            assertThatThrownBy(trainer::run)
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("could not be written")
                    .hasMessageContaining("step_00000004.unfinished");
            assertThat(trainer.step()).isBetween(4L, 6L);
            Files.delete(workdir.resolve("step_00000004.unfinished"));
            assertThat(trainer.resume().step()).isEqualTo(2);
        }
        assertThat(steps).startsWith(1L, 2L, 3L, 4L);
    }

    @Test
    void aFolderThatCannotBeWrittenIsNamedBeforeTheFirstStep() throws Exception {
        Path file = Files.writeString(workdir.resolve("file"), "");
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 2).checkpoints(file).build()) {
            assertThatThrownBy(trainer::run).hasMessageContaining("Nothing can be written to " + file);
            assertThat(trainer.step()).isZero();
        }
    }

    @Test
    void goesOnFromAnotherRunsCheckpoint() throws Exception {
        Path old = workdir.resolve("old");
        Path own = workdir.resolve("own");
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 4).checkpoints(old, 2, 5).build()) {
            trainer.run();
        }
        for (long steps : List.of(6L, 9L)) { // from the old run's, then from its own
            try (var model = DecoderModel.create(TinyRun.config(false), 99);
                    var trainer =
                            TinyRun.builder(model, steps).checkpoints(own, 2, 5).build();
                    var neverStopped = DecoderModel.create(TinyRun.config(false), 1);
                    var expected = TinyRun.builder(neverStopped, steps).build()) {
                assertThat(trainer.restoreFrom(old).step()).isEqualTo(steps == 6 ? 4 : 6);
                trainer.run();
                expected.run();
                TinyRun.assertSameBits(TinyRun.parameters(model), TinyRun.parameters(neverStopped));
            }
        }
        assertThat(old.toFile().list()).containsExactlyInAnyOrder("lock", "step_00000002", "step_00000004");
        assertThat(own.toFile().list())
                .containsExactlyInAnyOrder("lock", "step_00000006", "step_00000008", "step_00000009");
        try (var model = DecoderModel.create(TinyRun.config(false), 99);
                var trainer = TinyRun.builder(model, 9).build()) {
            assertThat(trainer.restoreFrom(old.resolve("step_00000002")).step()).isEqualTo(2);
            assertThatThrownBy(() -> trainer.restoreFrom(workdir)).hasMessageContaining("holds no checkpoint");
        }
    }

    /** Otherwise the run would continue among the other run's checkpoints and mistake them for its own. */
    @Test
    void aRunWhoseResumeWasRefusedDoesNotStart() throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer =
                        TinyRun.builder(model, 4).checkpoints(workdir, 2, 2).build()) {
            trainer.run();
        }
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 6)
                        .data(PackedDataset.of(TextSource.of("another text ".repeat(50)))
                                .length(8)
                                .batch(2))
                        .checkpoints(workdir, 2, 2)
                        .build()) {
            assertThatThrownBy(trainer::resume).hasMessageContaining("was trained on other data");
            assertThatThrownBy(trainer::run).hasMessageContaining("could not be resumed");
        }
    }

    /** Adds another model's parameters to the same tensor set, and a config and tokenizer that the manifest does not list. */
    @Test
    void filesThatTheManifestDoesNotListAreNotRead() throws Exception {
        Path checkpoint = workdir.resolve("step_00000002");
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var other = DecoderModel.create(TinyRun.config(false), 2);
                var trainer = TinyRun.builder(model, 2).checkpoints(workdir).build()) {
            trainer.run();
            other.save(workdir.resolve("other"));
            for (String name :
                    List.of("model.rank-00000-of-00001", "optimizer.rank-00000-of-00001", "model.rank-0-of-9")) {
                Files.copy(workdir.resolve("other/model.safetensors"), checkpoint.resolve(name + ".safetensors"));
            }
            try (var loaded = DecoderModel.load(checkpoint)) {
                TinyRun.assertSameBits(TinyRun.parameters(loaded), TinyRun.parameters(model));
            }
            Map<String, Tensor> trained = TinyRun.parameters(model);
            trainer.resume();
            TinyRun.assertSameBits(TinyRun.parameters(model), trained);
        }
        Path alone = workdir.resolve("other");
        Files.copy(checkpoint.resolve("tokenizer.json"), alone.resolve("tokenizer.json"));
        assertThatThrownBy(() -> ModelFiles.tokenizer(alone)).hasMessageContaining("other has no tokenizer.json");
        Files.delete(alone.resolve("manifest.json")); // now all of it is of other origin, and read as it is
        assertThat(ModelFiles.find(alone)).isEqualTo(alone);
        assertThat(ModelFiles.tokenizer(alone).vocabSize()).isEqualTo(259);
        DecoderModel.load(alone).close();
    }

    @Test
    void aRenamedCheckpointIsNotTakenForAnotherStep() throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 4).checkpoints(workdir).build()) {
            trainer.run();
            Files.move(workdir.resolve("step_00000004"), workdir.resolve("step_00000002"));
            assertThatThrownBy(trainer::resume)
                    .isInstanceOf(CorruptFileException.class)
                    .hasMessageContaining("step_00000002/run.json: is of step 4");
            Path any = Files.move(workdir.resolve("step_00000002"), workdir.resolve("best"));
            assertThat(trainer.restoreFrom(any).step()).isEqualTo(4);
        }
    }

    @Test
    void aWorkdirThatIsRemovedEndsTheRun() throws Exception {
        Path run = workdir.resolve("run");
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 1_000_000)
                        .checkpoints(run, 2, 5)
                        .listen(metrics -> {
                            if (metrics.step() == 3) {
                                move(run, workdir.resolve("moved"));
                            }
                        })
                        .build()) {
            assertThatThrownBy(trainer::run)
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining(run + " was moved or removed");
        }
        assertThat(run).doesNotExist();
    }

    @Test
    void aTrainerThatCannotBeBuiltLeavesNoThread() throws Exception {
        var before = Thread.getAllStackTraces().keySet();
        try (var model = DecoderModel.create(TinyRun.config(false), 1)) {
            for (int i = 0; i < 3; i++) {
                assertThatThrownBy(() -> TinyRun.builder(model, 2)
                                .checkpoints(workdir, 2, 0)
                                .build())
                        .hasMessageContaining("keep is 0");
            }
        }
        assertThat(Thread.getAllStackTraces().keySet())
                .filteredOn(thread -> !before.contains(thread))
                .extracting(Thread::getName)
                .doesNotContain("nanodo-packer", "nanodo-encoder");
    }

    @Test
    void aClosedTrainerSaysSo() throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1)) {
            var trainer = TinyRun.builder(model, 2).checkpoints(workdir).build();
            trainer.close();
            trainer.close();
            for (ThrowingCallable call : List.<ThrowingCallable>of(
                    trainer::run, trainer::resume, () -> trainer.restoreFrom(workdir.resolve("x")))) {
                assertThatThrownBy(call)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("This trainer is closed");
            }
        }
    }

    @Test
    void everyKthStays() throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 9)
                        .checkpoints(workdir, 1, 2)
                        .keepEvery(4)
                        .build()) {
            trainer.run();
        }
        assertThat(workdir.toFile().list())
                .containsExactlyInAnyOrder("lock", "step_00000004", "step_00000008", "step_00000009");
    }

    /** An optimizer with other state must not leave a model that is partly the checkpoint's. */
    @Test
    void aCheckpointOfAnotherOptimizerChangesNothing() throws Exception {
        Optimizer stateless = (parameters, ranks) -> new Optimizer.State() {
            @Override
            public void update(long step, double learningRate, Tensor gradScale, Tensor skip) {}

            @Override
            public Map<String, Slice> tensors() {
                return Map.of();
            }

            @Override
            public void close() {}
        };
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 2)
                        .optimizer(stateless)
                        .checkpoints(workdir)
                        .build()) {
            trainer.run();
        }
        try (var model = DecoderModel.create(TinyRun.config(false), 2);
                var trainer = TinyRun.builder(model, 2).checkpoints(workdir).build()) {
            Map<String, Tensor> before = TinyRun.parameters(model);
            assertThatThrownBy(trainer::resume).hasMessageContaining("optimizer.safetensors: has no tensor \"m.");
            TinyRun.assertSameBits(TinyRun.parameters(model), before);
        }
    }

    private static void move(Path from, Path to) {
        try {
            Files.move(from, to);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void put(String text, Path file) {
        try {
            Files.writeString(file, text);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
