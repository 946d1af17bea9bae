package org.nanodo.metrics;

import java.nio.file.Path;
import java.util.function.Consumer;
import org.nanodo.files.OptionalLibrary;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes the metrics of a run. The trainer calls a writer only on rank 0, and closes it:
 * {@code .write(MetricWriter.tensorBoard(directory))}.
 *
 * <p>A file is opened with the first metrics; if that fails, the run ends. Each record is passed to the operating system at once
 * and whole, so that a crash of the process loses none; a power failure may lose the last seconds. If a record cannot be written
 * later, for example because the disk is full, the run continues: the failure is logged as an error, a part of the record that
 * reached the file is cut off, and the next record is tried again. If the file was moved or removed, or something else wrote to
 * it, the run ends with an {@link IllegalStateException} at the next record.
 */
@FunctionalInterface
public interface MetricWriter extends Consumer<Metrics>, AutoCloseable {
    /**
     * Writes event files for TensorBoard, a new one for each run. When a run resumes from an earlier step, TensorBoard replaces
     * the values from that step on by the new ones.
     *
     * @throws IllegalStateException if com.google.protobuf:protobuf-java is missing
     */
    static MetricWriter tensorBoard(Path directory) {
        OptionalLibrary.TENSORBOARD.require();
        return new TensorBoardWriter(directory);
    }

    /**
     * Writes one JSON object per line, {@code {"step":1,"train_loss":5.5,…}}, with null for values that are not finite. Lines are
     * appended to an existing file, whose last line is removed if it is incomplete. A run that resumes from an earlier step
     * writes its steps again: of lines with the same step and names, the last one counts.
     */
    static MetricWriter jsonLines(Path file) {
        return new JsonLinesWriter(file);
    }

    /** Logs one line for each record to SLF4J, at level INFO under the name of {@link Metrics}. */
    static MetricWriter log() {
        Logger log = LoggerFactory.getLogger(Metrics.class);
        return metrics -> log.info("{}", metrics);
    }

    /** Writes training steps only if they are multiples of {@code steps}, and also the first one and all evaluations. */
    default MetricWriter every(long steps) {
        return with(steps, metrics -> {
            if (metrics.step() % steps == 0 || metrics.has("n_params/all") || !metrics.has("train_loss")) {
                accept(metrics);
            }
        });
    }

    /** Writes speed ({@code steps_per_sec}, {@code uptime} and so on) only at steps that are multiples of {@code steps}. */
    default MetricWriter speedEvery(long steps) {
        return with(steps, metrics -> accept(metrics.step() % steps == 0 ? metrics : metrics.withoutSpeed()));
    }

    private MetricWriter with(long steps, Consumer<Metrics> accept) {
        if (steps < 1) {
            throw new IllegalArgumentException("Cannot write every " + steps + " steps: the number must be positive");
        }
        MetricWriter all = this;
        return new MetricWriter() {
            @Override
            public void accept(Metrics metrics) {
                accept.accept(metrics);
            }

            @Override
            public void close() {
                all.close();
            }
        };
    }

    /** Closes the writer without an exception: failures are logged. */
    @Override
    default void close() {}
}
