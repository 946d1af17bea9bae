package org.nanodo.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.nanodo.data.PackedDataset;
import org.nanodo.metrics.MetricWriter;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.LanguageModel;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.Optimizer;
import org.nanodo.optim.Schedule;

/** Everything about a run but its model. Data and steps have to be named, in any order. */
public final class TrainerBuilder implements Cloneable {
    final LanguageModel model;
    List<Consumer<Metrics>> listeners = new ArrayList<>();
    List<MetricWriter> writers = new ArrayList<>();
    Map<String, Evaluator> evaluators = new LinkedHashMap<>();
    PackedDataset data;
    Engine.Factory engine = BlockWalk::new;
    Loss loss;
    Optimizer optimizer = AdamW.with();
    Schedule schedule;
    double clip = Double.POSITIVE_INFINITY;
    int microBatches = 1;
    long steps;
    long evalSteps = Long.MAX_VALUE;
    long internalSteps = Long.MAX_VALUE;
    double peakFlops = Double.NaN;
    Path workdir;
    long checkpointSteps = 2000;
    int keep = 3;
    long keepEvery = Long.MAX_VALUE;
    boolean allowChangedData;
    boolean checkpointAtStart;

    TrainerBuilder(LanguageModel model) {
        this.model = model;
    }

    public TrainerBuilder data(PackedDataset data) {
        this.data = data;
        return this;
    }

    /** Updates to make in all, counted from the run's beginning. */
    public TrainerBuilder steps(long steps) {
        this.steps = steps;
        return this;
    }

    /** Default: the model's own, if it is a {@link Loss.OfModel}, else {@link Loss#crossEntropy()}. */
    public TrainerBuilder loss(Loss loss) {
        this.loss = loss;
        return this;
    }

    /** Default: {@link AdamW#with()}. */
    public TrainerBuilder optimizer(Optimizer optimizer) {
        this.optimizer = optimizer;
        return this;
    }

    /** Default: NanoDO's, 1.6e-4 up to 1.6e-3 over the first hundredth of the steps, down to 1.6e-4 by a cosine. */
    public TrainerBuilder schedule(Schedule schedule) {
        this.schedule = schedule;
        return this;
    }

    /** Scales gradients down to this global norm. Default: no clipping. */
    public TrainerBuilder clip(double globalNorm) {
        this.clip = globalNorm;
        return this;
    }

    /** Computes each batch in k equal parts, with a k-th of the activations' memory and the same result. */
    public TrainerBuilder accumulate(int microBatches) {
        this.microBatches = microBatches;
        return this;
    }

    /**
     * Evaluates on this dataset before the first step, every so many steps and at the end: {@code eval_loss} and so on. As in
     * NanoDO, the rows of a curve that is compared with training are as long as the model's context.
     */
    public TrainerBuilder evaluate(PackedDataset validation, long everySteps) {
        return evaluate("", validation, everySteps);
    }

    /** As many more as there are names, which stand before those of the metrics: {@code wiki/eval_loss}. */
    public TrainerBuilder evaluate(String name, PackedDataset validation, long everySteps) {
        check(
                evaluators.put(name, new Evaluator(name, validation, everySteps)) == null,
                "Two evaluation sets are called \"" + name + "\"");
        return this;
    }

    /** Evaluates on so many batches of each set at most: NanoDO's {@code eval_steps}. Default: on all. */
    public TrainerBuilder evalSteps(long batches) {
        this.evalSteps = batches;
        return this;
    }

    /**
     * Measures, every so many steps, root mean square, mean and standard deviation of gradients, parameters and updates, of each
     * parameter and of all: {@code grads/blocks.0.query/rms}, {@code updates/all/std}; 1 is NanoDO's {@code log_internal_metrics}. Costs
     * a copy of the parameters, and time in the steps that are measured. Default: never.
     */
    public TrainerBuilder internalMetrics(long everySteps) {
        this.internalSteps = everySteps;
        return this;
    }

    /** What one rank's device could do a second, in floating-point operations, for the metric {@code mfu}. Default: no such metric. */
    public TrainerBuilder peakFlops(double flopsPerSecond) {
        this.peakFlops = flopsPerSecond;
        return this;
    }

    /** A folder for checkpoints, every 2,000 steps and at the end, of which the newest three stay. */
    public TrainerBuilder checkpoints(Path workdir) {
        return checkpoints(workdir, checkpointSteps, keep);
    }

    public TrainerBuilder checkpoints(Path workdir, long everySteps, int keep) {
        this.workdir = workdir;
        this.checkpointSteps = everySteps;
        this.keep = keep;
        return this;
    }

    /** Writes a checkpoint of the untrained model, of step 0, too. Default: not. */
    public TrainerBuilder checkpointAtStart(boolean writes) {
        this.checkpointAtStart = writes;
        return this;
    }

    /** Checkpoints of steps that this divides stay for good, besides the newest. */
    public TrainerBuilder keepEvery(long steps) {
        this.keepEvery = steps;
        return this;
    }

    /**
     * Resumes though a file of the training data has another size or time than when the checkpoint was written: a copy of the
     * corpus, say. Default: that is an error, since a resumed run is to be the same as one that never stopped.
     */
    public TrainerBuilder allowChangedData(boolean allows) {
        this.allowChangedData = allows;
        return this;
    }

    /** Hears every step's metrics, one step late, and every evaluation's. On every rank, with the same values. */
    public TrainerBuilder listen(Consumer<Metrics> listener) {
        listeners.add(listener);
        return this;
    }

    /** Gets the same as those who {@link #listen}, but on rank 0 alone. The trainer closes it. */
    public TrainerBuilder write(MetricWriter writer) {
        writers.add(writer);
        return this;
    }

    /** How loss and gradients are computed. Default: on the model's one device. */
    public TrainerBuilder engine(Engine.Factory engine) {
        this.engine = engine;
        return this;
    }

    /** With an engine that is there already and stays the caller's. */
    public TrainerBuilder engine(Engine engine) {
        return engine(model -> engine);
    }

    /** @throws IllegalArgumentException if something is missing or does not fit the model */
    public Trainer build() {
        check(data != null, "No training data: call data(PackedDataset.of(…))");
        check(steps > 0, "steps is " + steps + ": how many updates to make has to be said");
        check(microBatches > 0, microBatches + " micro-batches: a batch is computed in one part or more");
        check(clip > 0, "clip is " + clip + ": a global norm is positive");
        check(checkpointSteps > 0, "Checkpoints every " + checkpointSteps + " steps: it has to be positive");
        check(keep > 0, "keep is " + keep + ": at least one checkpoint has to stay");
        check(keepEvery > 0, "Keeping checkpoints every " + keepEvery + " steps: it has to be positive");
        checkLength(data);
        check(evalSteps > 0, "An evaluation of " + evalSteps + " batches: it has to be positive");
        check(internalSteps > 0, "Internal metrics every " + internalSteps + " steps: it has to be positive");
        check(!(peakFlops <= 0), "A peak of " + peakFlops + " operations a second: it has to be positive");
        for (Evaluator evaluator : evaluators.values()) {
            check(
                    evaluator.everySteps() > 0,
                    "Evaluation every " + evaluator.everySteps() + " steps: it has to be positive");
            checkLength(evaluator.data());
            check(
                    data.tokenizer().matches(evaluator.data().tokenizer().spec()),
                    "The validation data has another tokenizer than the training data");
        }
        return new Trainer(copy());
    }

    /** What this says now: the trainer does not follow later changes. */
    private TrainerBuilder copy() {
        try {
            TrainerBuilder copy = (TrainerBuilder) super.clone();
            copy.listeners = List.copyOf(listeners);
            copy.writers = List.copyOf(writers);
            copy.evaluators = new LinkedHashMap<>(evaluators);
            if (loss == null) {
                copy.loss = model instanceof Loss.OfModel own ? own.loss() : Loss.crossEntropy();
            }
            if (schedule == null) {
                copy.schedule = Schedule.warmupCosine(1.6e-4, 1.6e-3, 1.6e-4, steps / 100, steps);
            }
            return copy;
        } catch (CloneNotSupportedException e) {
            throw new AssertionError(e);
        }
    }

    private void checkLength(PackedDataset rows) {
        check(
                rows.length() <= model.config().L(),
                "Rows of " + rows.length() + " tokens are longer than the L="
                        + model.config().L() + " positions of the model");
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
