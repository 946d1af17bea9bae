package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TinyRun;
import org.nanodo.data.PackedDataset;
import org.nanodo.metrics.MetricWriter;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;

/** Whenever a run ends and is resumed, no evaluation is lost, and none is reported twice. */
class EvaluationResumeTest {
    private static final PackedDataset ROWS = TinyRun.DATA.shuffle(9);

    @TempDir
    Path workdir;

    private final List<String> told = new ArrayList<>();

    private void note(Metrics metrics) {
        for (String name : List.of("eval_loss", "other/eval_loss")) {
            if (metrics.has(name)) {
                told.add(metrics.step() + " " + name);
            }
        }
    }

    /** Resumes a run of this number of steps, with a checkpoint every second step. */
    private void run(long steps, long evalSteps, Consumer<Metrics> listener) throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, steps)
                        .checkpoints(workdir, 2, 3)
                        .evaluate(ROWS, evalSteps)
                        .evaluate("other", ROWS, 1000)
                        .write(MetricWriter.jsonLines(workdir.resolve("metrics.jsonl")))
                        .listen(this::note)
                        .listen(listener)
                        .build()) {
            trainer.resume();
            trainer.run();
        }
    }

    /** A listener that throws ends the run as a kill does. */
    @Test
    void anEvaluationThatNobodyHeardIsMadeUpFor() throws Exception {
        for (long step : new long[] {4, 6}) {
            told.clear();
            assertThatThrownBy(() -> run(6, 4, metrics -> {
                        if (metrics.has("eval_loss") && metrics.step() == step) {
                            throw new IllegalStateException("killed");
                        }
                    }))
                    .hasMessageContaining("killed");
        }
        assertThat(told).as("by the second run").containsExactly("4 eval_loss", "6 eval_loss", "6 other/eval_loss");
        told.clear();
        run(6, 4, metrics -> {});
        assertThat(told).as("by the third").containsExactly("6 eval_loss", "6 other/eval_loss");
    }

    @Test
    void aFinishedRunAddsNoRecord() throws Exception {
        run(6, 3, metrics -> {});
        assertThat(told)
                .containsExactly("0 eval_loss", "0 other/eval_loss", "3 eval_loss", "6 eval_loss", "6 other/eval_loss");
        String before = Files.readString(workdir.resolve("metrics.jsonl"));
        var stamp = Files.getLastModifiedTime(workdir.resolve("step_00000006"));
        run(6, 3, metrics -> {});
        run(6, 3, metrics -> {});
        assertThat(told).hasSize(5);
        assertThat(workdir.resolve("metrics.jsonl")).hasContent(before);
        assertThat(Files.getLastModifiedTime(workdir.resolve("step_00000006"))).isEqualTo(stamp);
    }

    /** The checkpoint names no evaluated set, so the resumed run evaluates and reports once. */
    @Test
    void aRunThatWasStoppedIsEvaluatedWhenItIsResumedOnce() throws Exception {
        try (var model = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(model, 4)
                        .checkpoints(workdir, 2, 3)
                        .evaluate(ROWS, 4)
                        .listen(this::note)
                        .build()) {
            trainer.stop(); // before its first step
            trainer.run();
            assertThat(trainer.step()).isZero();
        }
        assertThat(told).isEmpty();
        run(4, 1000, metrics -> {});
        assertThat(told).containsExactly("0 eval_loss", "0 other/eval_loss", "4 eval_loss", "4 other/eval_loss");
        told.clear();
        run(6, 4, metrics -> {});
        assertThat(told).as("step 4 was told before").containsExactly("6 eval_loss", "6 other/eval_loss");
    }

    /** The run ends at the step of an existing, intermediate checkpoint, whose directory then records the last evaluation. */
    @Test
    void aCheckpointThatBecomesTheLastIsEvaluatedOnce() throws Exception {
        run(6, 1000, metrics -> {});
        for (String name : List.of("step_00000006", "metrics.jsonl")) {
            Files.move(workdir.resolve(name), workdir.resolve("aside-" + name));
        }
        told.clear();
        run(4, 1000, metrics -> {});
        run(4, 1000, metrics -> {});
        assertThat(told).containsExactly("4 eval_loss", "4 other/eval_loss");
        assertThat(Files.readAllLines(workdir.resolve("metrics.jsonl"))).hasSize(1);
    }

    @Test
    void fewerStepsThanTheCheckpointHasAreRefused() throws Exception {
        run(6, 3, metrics -> {});
        assertThatThrownBy(() -> run(4, 3, metrics -> {}))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("step_00000006 has made 6 steps, more than the 4 of this run");
    }
}
