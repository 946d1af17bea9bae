package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TestJvm;
import org.nanodo.TinyRun;
import org.nanodo.model.DecoderModel;
import org.nanodo.runtime.Memory;

/** Law 7: memory is flat over thousands of steps. */
@Tag("slow")
class MemoryTest {
    /** Trains with many features switched on and prints, early and late, resident KiB and live native objects. */
    static final class Main {
        public static void main(String[] args) throws Exception {
            try (var model = DecoderModel.create(TinyRun.config(true), 1);
                    var trainer = TinyRun.builder(model, 3000)
                            .clip(1)
                            .accumulate(2)
                            .evaluate(TinyRun.DATA, 100)
                            .internalMetrics(2)
                            .checkpoints(Path.of(args[0]), 100, 1)
                            .listen(metrics -> {
                                if (metrics.has("train_loss") && metrics.step() % 500 == 0) {
                                    System.out.println(metrics.step() + " " + Memory.residentBytes() / 1024 + " "
                                            + Pointer.totalCount());
                                }
                            })
                            .build()) {
                trainer.run();
            }
        }
    }

    @TempDir
    Path workdir;

    @Test
    void residentMemoryAndNativeObjectsStayTheSame() throws Exception {
        // With a heap that is all there from the beginning, and without the second compiler, which takes 20 MB when it
        // starts, nothing but the library's native memory is left to grow.
        String output = TestJvm.run(
                "-Xms128m",
                "-Xmx128m",
                "-XX:+AlwaysPreTouch",
                "-XX:TieredStopAtLevel=1",
                Main.class.getName(),
                workdir.toString());
        String[] lines = output.split("\\R");
        assertThat(lines).as(output).hasSize(6);
        String[] early = lines[1].split(" ");
        String[] late = lines[5].split(" ");
        assertThat(Long.parseLong(late[1])).as(output).isLessThan(Long.parseLong(early[1]) * 101 / 100);
        assertThat(Long.parseLong(late[2])).as(output).isEqualTo(Long.parseLong(early[2]));
    }
}
