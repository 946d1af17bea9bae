package org.nanodo.metrics;

import java.nio.file.Path;
import java.util.function.Consumer;
import org.nanodo.files.OptionalLibrary;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Takes the metrics of a run somewhere. The trainer calls one on rank 0 alone and closes it:
 * {@code .write(MetricWriter.tensorBoard(folder))}.
 *
 * <p>Files are opened when the first metrics come, and whatever is wrong with the folder ends the run then. Each record goes to
 * the operating system at once and whole, so that a crash of the process loses none; a power failure loses the last
 * seconds. A record that cannot be written later, because the disk is full, say, does not end the run: that is logged as
 * an error, what got into the file of it is cut off, and the next record is tried anew. A file that is moved or removed, or
 * that something else writes to, does end the run, with an {@link IllegalStateException} at the next record.
 */
@FunctionalInterface
public interface MetricWriter extends Consumer<Metrics>, AutoCloseable {
    /**
     * Event files for TensorBoard, a new one each time. A run that goes on from an earlier step says so, and TensorBoard then
     * shows the values from that step on once, the new ones.
     *
     * @throws IllegalStateException if com.google.protobuf:protobuf-java is not there
     */
    static MetricWriter tensorBoard(Path folder) {
        OptionalLibrary.TENSORBOARD.require();
        return new TensorBoardWriter(folder);
    }

    /**
     * One JSON object a line, {@code {"step":1,"train_loss":5.5,…}}, with null for what is not finite. A file that is there goes on at
     * its end, but for a last line that was cut short. A run that goes on from an earlier step writes its steps again: of lines
     * with the same step and names the last one counts.
     */
    static MetricWriter jsonLines(Path file) {
        return new JsonLinesWriter(file);
    }

    /** One line each to SLF4J, at level INFO under the name of {@link Metrics}. */
    static MetricWriter log() {
        Logger log = LoggerFactory.getLogger(Metrics.class);
        return metrics -> log.info("{}", metrics);
    }

    /** Only training steps that this divides, and the first, which counts the parameters; evaluations all. */
    default MetricWriter every(long steps) {
        if (steps < 1) {
            throw new IllegalArgumentException("Writing every " + steps + " steps: it has to be positive");
        }
        MetricWriter all = this;
        return new MetricWriter() {
            @Override
            public void accept(Metrics metrics) {
                if (metrics.step() % steps == 0 || metrics.has("n_params/all") || !metrics.has("train_loss")) {
                    all.accept(metrics);
                }
            }

            @Override
            public void close() {
                all.close();
            }
        };
    }

    /** What tells of speed only at steps that this divides: {@code steps_per_sec}, {@code uptime} and so on. */
    default MetricWriter speedEvery(long steps) {
        if (steps < 1) {
            throw new IllegalArgumentException("Writing speed every " + steps + " steps: it has to be positive");
        }
        MetricWriter all = this;
        return new MetricWriter() {
            @Override
            public void accept(Metrics metrics) {
                all.accept(metrics.step() % steps == 0 ? metrics : metrics.withoutSpeed());
            }

            @Override
            public void close() {
                all.close();
            }
        };
    }

    /** Throws nothing: what could not be written was logged. */
    @Override
    default void close() {}
}
