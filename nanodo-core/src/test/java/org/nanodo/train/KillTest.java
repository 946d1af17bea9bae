package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TestJvm;
import org.nanodo.TinyRun;
import org.nanodo.checkpoint.CheckpointStore;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;

/** Law 6: a run that is killed repeatedly, even while saving, ends as if it had never stopped, bit for bit. */
@Tag("slow")
class KillTest {
    private static final int STEPS = 400;
    private static final int SAVE_EVERY = 3;
    private static final int KILLS = 22;
    private static final String[] FILES = {
        "config.json", "model.safetensors", "optimizer.safetensors", "run.json", "tokenizer.json", "manifest.json"
    };

    @TempDir
    Path workdir;

    private final TreeMap<Long, String> losses = new TreeMap<>();

    /** Resumes, trains, and prints each step's loss. */
    static final class Main {
        public static void main(String[] args) throws Exception {
            try (var model = DecoderModel.create(TinyRun.config(false), 1);
                    var trainer = TinyRun.builder(model, STEPS)
                            .checkpoints(Path.of(args[0]), SAVE_EVERY, 2)
                            .listen(metrics -> System.out.println(line(metrics) + ";"))
                            .build()) {
                trainer.resume().run();
            }
        }
    }

    @Test
    void killedAtAnyMomentAndResumedEqualsNeverStopped() throws Exception {
        var random = new Random(3);
        int duringSaves = 0;
        for (int i = 0; i < KILLS; i++) {
            Process process = start();
            var output = new BufferedReader(new InputStreamReader(process.getInputStream()));
            readLines(output, 1 + random.nextInt(2 * SAVE_EVERY));
            if (random.nextInt(4) > 0) {
                awaitSave(process, random);
            }
            assertThat(process.isAlive()).as("the run goes on").isTrue();
            process.toHandle().destroyForcibly(); // SIGKILL; the process's own method closes its output too
            readLines(output, Integer.MAX_VALUE);
            assertThat(process.waitFor()).isEqualTo(128 + 9);
            duringSaves += isSaveUnfinished() ? 1 : 0;
        }
        assertThat(duringSaves).as("kills that left a save half-written").isGreaterThanOrEqualTo(KILLS / 4);
        System.out.println(duringSaves + " of " + KILLS + " kills left a save half-written");

        Process last = start();
        readLines(new BufferedReader(new InputStreamReader(last.getInputStream())), Integer.MAX_VALUE);
        assertThat(last.waitFor()).isZero();
        var expected = new TreeMap<Long, String>();
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, STEPS)
                        .listen(metrics -> expected.put(metrics.step(), line(metrics)))
                        .build();
                var killed = DecoderModel.load(CheckpointStore.find(workdir))) {
            trainer.run();
            TinyRun.assertSameBits(TinyRun.parameters(killed), TinyRun.parameters(model));
        }
        assertThat(losses).isEqualTo(expected);
        assertThat(isSaveUnfinished()).isFalse();
    }

    @Test
    void aSecondRunIsRefusedAsLongAsTheFirstLives() throws Exception {
        Process first = start();
        var output = new BufferedReader(new InputStreamReader(first.getInputStream()));
        readLines(output, 2 * SAVE_EVERY + 1); // the second save waited for the first
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var second = TinyRun.builder(model, STEPS)
                        .checkpoints(workdir, SAVE_EVERY, 2)
                        .build()) {
            assertThatThrownBy(second::run).hasMessageContaining("Another run is writing to ");
            assertThatThrownBy(second::resume).hasMessageContaining("Another run is writing to ");
            first.destroyForcibly().waitFor();
            assertThat(second.resume().step()).isGreaterThanOrEqualTo(SAVE_EVERY);
        }
    }

    private Process start() throws Exception {
        return TestJvm.start("-XX:TieredStopAtLevel=1", Main.class.getName(), workdir.toString());
    }

    /** Reads up to this number of losses; a step that ran twice must have the same loss. */
    private void readLines(BufferedReader output, int count) throws Exception {
        String line;
        while (count > 0 && (line = output.readLine()) != null) {
            if (line.startsWith("step ") && line.endsWith(";")) {
                String loss = line.substring(0, line.length() - 1);
                long step = Long.parseLong(loss.split(" ")[1]);
                assertThat(losses.getOrDefault(step, loss)).isEqualTo(loss);
                losses.put(step, loss);
                count--;
            }
        }
    }

    /** Waits until the next save has started, reached one of its files, or finished. */
    private void awaitSave(Process process, Random random) throws Exception {
        String file = FILES[random.nextInt(FILES.length)];
        while (process.isAlive()) {
            try (var paths = Files.list(workdir)) {
                if (paths.anyMatch(
                        path -> path.toString().endsWith(".unfinished") && Files.exists(path.resolve(file)))) {
                    return;
                }
            }
        }
    }

    private boolean isSaveUnfinished() {
        for (String name : workdir.toFile().list()) {
            if (name.endsWith(".unfinished")) {
                return true;
            }
        }
        return false;
    }

    private static String line(Metrics metrics) {
        return "step " + metrics.step() + " " + metrics.get("train_loss") + " " + metrics.get("grads/all/norm");
    }
}
