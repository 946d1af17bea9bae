package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.sun.jna.Library;
import com.sun.jna.Native;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.checkpoint.CheckpointStore;
import org.nanodo.data.PackedDataset;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.Parameter;
import org.nanodo.model.TransformerConfig;
import org.nanodo.optim.Adafactor;
import org.nanodo.optim.Muon;
import org.nanodo.optim.Optimizer;
import org.nanodo.optim.Schedule;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;
import org.nanodo.source.TextSource;
import org.nanodo.train.Trainer;
import org.nanodo.train.TrainerBuilder;

/** Checkpoints that several ranks write together, and any other number reads. */
@Tag("slow")
class FsdpCheckpointTest {
    private static final PackedDataset DATA = PackedDataset.of(
                    TextSource.of("To be, or not to be, that is the question. ".repeat(30)))
            .length(16)
            .batch(12)
            .shuffle(3);

    /** Its state has slices of matrices and of vectors, and rows and columns that all ranks have whole. */
    private static final Optimizer OF_MATRICES =
            Muon.with().others(Adafactor.with().minFactored(16).momentum(0.9));

    @TempDir
    Path directory;

    private static TrainerBuilder trainer(DecoderModel model, Path workdir, long steps) {
        return Trainer.of(model)
                .data(DATA)
                .steps(steps)
                .schedule(Schedule.constant(1e-3))
                .checkpoints(workdir, 3, 2)
                .listen(metrics -> {
                    if (metrics.has("train_loss")) {
                        System.out.println("loss " + metrics.step() + " " + metrics.get("train_loss"));
                    }
                });
    }

    /** No part divides among two or four. */
    private static TransformerConfig config(int D) {
        return TransformerConfig.builder()
                .D(D)
                .H(5)
                .L(16)
                .N(3)
                .V(259)
                .F(2 * D + 1)
                .build();
    }

    /** Resumes and goes on to a step; one rank alone does so without sharding. Args: directory, steps, whether matrices' rule. */
    static final class ResumingMain {
        public static void main(String[] args) throws Exception {
            Path workdir = Path.of(args[0]);
            long steps = Long.parseLong(args[1]);
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = meeting.collectives(Device.cpu());
                    var model = DecoderModel.create(config(35), 1)) {
                TrainerBuilder builder = trainer(model, workdir, steps);
                if (Boolean.parseBoolean(args[2])) {
                    builder.optimizer(OF_MATRICES);
                }
                if (ranks.world() == 1) {
                    try (var trainer = builder.build()) {
                        trainer.resume().run();
                    }
                } else {
                    try (var fsdp = Fsdp.of(ranks).shard(model);
                            var trainer = builder.engine(fsdp).build()) {
                        trainer.resume().run();
                    }
                }
            }
        }
    }

    @Test
    void anyNumberOfRanksGoesOnWhereAnyOtherHasStopped() throws Exception {
        Path never = directory.resolve("never-stopped");
        Path stopped = directory.resolve("stopped");
        TreeMap<Long, Double> expected = losses(4, never, 12);
        var losses = new TreeMap<Long, Double>();
        losses.putAll(losses(4, stopped, 4));
        losses.putAll(losses(2, stopped, 7));
        losses.putAll(losses(1, stopped, 9));
        losses.putAll(losses(4, stopped, 12));
        assertThat(losses.keySet()).isEqualTo(expected.keySet()).hasSize(12);
        losses.forEach((step, loss) ->
                assertThat(loss).as("loss of step " + step).isCloseTo(expected.get(step), within(1e-6 * loss)));
        assertThat(stopped.resolve("step_00000012").toFile().list())
                .contains("model.rank-00003-of-00004.safetensors", "optimizer.rank-00000-of-00004.safetensors")
                .hasSize(4 + 2 * 4);
        try (var model = DecoderModel.load(CheckpointStore.find(stopped));
                var other = DecoderModel.load(CheckpointStore.find(never))) {
            for (int i = 0; i < model.parameters().size(); i++) {
                Parameter parameter = model.parameters().get(i);
                float[] values = Tensors.toFloats(parameter.tensor());
                assertThat(values)
                        .as(parameter.name())
                        .containsExactly(
                                Tensors.toFloats(other.parameters().get(i).tensor()), within(1e-4f));
            }
        }
    }

    @Test
    void rulesOfWholeMatricesResumeOnAnyNumberOfRanks() throws Exception {
        Path never = directory.resolve("never-stopped");
        Path stopped = directory.resolve("stopped");
        TreeMap<Long, Double> expected = losses(3, never, 8, true);
        var losses = new TreeMap<Long, Double>();
        losses.putAll(losses(3, stopped, 3, true));
        losses.putAll(losses(1, stopped, 5, true));
        losses.putAll(losses(2, stopped, 8, true));
        assertThat(losses.keySet()).isEqualTo(expected.keySet()).hasSize(8);
        losses.forEach((step, loss) ->
                assertThat(loss).as("loss of step " + step).isCloseTo(expected.get(step), within(1e-5 * loss)));
    }

    private static TreeMap<Long, Double> losses(int world, Path workdir, long steps) throws Exception {
        return losses(world, workdir, steps, false);
    }

    private static TreeMap<Long, Double> losses(int world, Path workdir, long steps, boolean ofMatrices)
            throws Exception {
        var losses = new TreeMap<Long, Double>();
        List<String> outputs = RankProcesses.run(
                world, ResumingMain.class, workdir.toString(), String.valueOf(steps), String.valueOf(ofMatrices));
        for (String output : outputs) {
            var own = new TreeMap<Long, Double>();
            output.lines()
                    .filter(line -> line.startsWith("loss "))
                    .map(line -> line.split(" "))
                    .forEach(words -> own.put(Long.parseLong(words[1]), Double.parseDouble(words[2])));
            assertThat(own).isNotEmpty();
            losses.putAll(own);
            assertThat(own).as("every rank's").isEqualTo(losses);
        }
        return losses;
    }

    private interface CLibrary extends Library {
        int kill(int process, int signal);
    }

    /** Trains with a model whose saves take a moment. Args: victim, directory, what happens to it in its second save. */
    static final class FailingMain {
        public static void main(String[] args) throws Exception {
            Path workdir = Path.of(args[1]);
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = meeting.collectives(Device.cpu());
                    var model = DecoderModel.create(config(300), 1);
                    var fsdp = Fsdp.of(ranks).shard(model)) {
                var builder = trainer(model, workdir, 100).engine(fsdp);
                if (ranks.rank() == Integer.parseInt(args[0])) {
                    String part = ranks.rank() == 0 ? "" : ".rank-" + ranks.rank();
                    Path saving = workdir.resolve("step_00000006" + part + ".unfinished");
                    if (args[2].equals("killed")) {
                        var killer = new Thread(() -> killIn(saving));
                        killer.setDaemon(true);
                        killer.start();
                    } else {
                        builder.listen(metrics -> obstruct(saving, metrics.step()));
                    }
                }
                try (var trainer = builder.build()) {
                    trainer.run();
                }
            } catch (CollectiveException | IOException e) {
                System.out.println(e.getMessage());
                System.exit(1);
            }
        }

        private static void killIn(Path save) {
            CLibrary libc = Native.load("c", CLibrary.class);
            while (!Files.exists(save)) {
                Thread.onSpinWait();
            }
            libc.kill((int) ProcessHandle.current().pid(), 9);
        }

        /** What is no directory is in the way. */
        private static void obstruct(Path save, long step) {
            if (step == 4) {
                try {
                    Files.createFile(save);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        }
    }

    @Test
    void aRankThatIsKilledInASaveLeavesTheCheckpointBefore() throws Exception {
        for (int victim = 0; victim < 2; victim++) {
            Path workdir = directory.resolve("killed-" + victim);
            assertThat(fail(victim, workdir, "killed"))
                    .allSatisfy(output -> assertThat(output).contains("of 3 ranks, failed: "));
            assertThat(workdir.resolve("step_00000006")).doesNotExist();
            assertGoesOnFromStep3(workdir);
        }
    }

    @Test
    void aRankThatCannotWriteItsPartStopsAll() throws Exception {
        Path workdir = directory.resolve("obstructed");
        assertThat(fail(1, workdir, "obstructed"))
                .allSatisfy(output -> assertThat(output).contains("A checkpoint could not be written by another rank"));
        assertThat(workdir.resolve("step_00000006")).doesNotExist();
        Files.delete(workdir.resolve("step_00000006.rank-1.unfinished"));
        assertGoesOnFromStep3(workdir);
    }

    private static List<String> fail(int victim, Path workdir, String how) throws Exception {
        return RankProcesses.others(victim, RankProcesses.environments(3), FailingMain.class, workdir.toString(), how);
    }

    private static void assertGoesOnFromStep3(Path workdir) throws Exception {
        assertThat(CheckpointStore.find(workdir)).isEqualTo(workdir.resolve("step_00000003"));
        try (var model = DecoderModel.create(config(300), 2);
                var trainer = trainer(model, workdir, 4).build()) {
            assertThat(trainer.resume().step()).isEqualTo(3);
            trainer.run();
        }
        assertThat(workdir.toFile().list()).containsExactlyInAnyOrder("lock", "step_00000003", "step_00000004");
    }
}
