package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TestJvm;
import org.nanodo.TinyRun;
import org.nanodo.checkpoint.CheckpointStore;
import org.nanodo.model.DecoderModel;

/** Ctrl-C and SIGTERM end a run after its step with a checkpoint, from which it resumes as if it had never stopped. */
@Tag("slow")
class ShutdownTest {
    @TempDir
    Path workdir;

    /** Trains without end, or exits by itself after a step. */
    static final class Main {
        public static void main(String[] args) throws Exception {
            long exitAfter = Long.parseLong(args[1]);
            try (var model = DecoderModel.create(TinyRun.config(false), 1);
                    var trainer = TinyRun.builder(model, 1_000_000)
                            .checkpoints(Path.of(args[0]), 1_000_000, 1)
                            .listen(metrics -> {
                                System.out.println(metrics);
                                if (metrics.step() == exitAfter) {
                                    System.exit(3);
                                }
                            })
                            .build()) {
                trainer.run();
            }
        }
    }

    @Test
    void aSignalEndsTheRunWithACheckpoint() throws Exception {
        Process process = TestJvm.start(Main.class.getName(), workdir.toString(), "-1");
        var output = new BufferedReader(new InputStreamReader(process.getInputStream()));
        for (int i = 0; i < 5; i++) {
            assertThat(output.readLine()).startsWith("step ");
        }
        process.toHandle().destroy(); // SIGTERM; the process's own destroy() closes its output too
        while (output.readLine() != null) {
            // until it ends
        }
        assertThat(process.waitFor()).isEqualTo(128 + 15);

        Path checkpoint = new CheckpointStore(workdir, 1).latest().orElseThrow();
        long step = Long.parseLong(checkpoint.getFileName().toString().replaceAll("\\D", ""));
        assertThat(step).isGreaterThanOrEqualTo(5);
        try (var resumed = DecoderModel.create(TinyRun.config(false), 2);
                var goingOn = TinyRun.builder(resumed, step + 5)
                        .checkpoints(workdir, 1_000_000, 1)
                        .build();
                var model = DecoderModel.create(TinyRun.config(false), 1);
                var neverStopped = TinyRun.builder(model, step + 5).build()) {
            goingOn.resume().run();
            neverStopped.run();
            assertThat(goingOn.step()).isEqualTo(step + 5);
            TinyRun.assertSameBits(TinyRun.parameters(resumed), TinyRun.parameters(model));
        }
    }

    /** The running thread ends the JVM, which waits for the hook: the hook must not wait for the run. */
    @Test
    void exitFromAListenerDoesNotHang() throws Exception {
        Process process = TestJvm.start(Main.class.getName(), workdir.toString(), "3");
        process.getInputStream().readAllBytes();
        assertThat(process.waitFor()).isEqualTo(3);
        assertThat(workdir.toFile().list()).containsExactly("lock");
    }
}
