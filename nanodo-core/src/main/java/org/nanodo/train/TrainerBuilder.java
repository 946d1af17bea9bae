package org.nanodo.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import org.nanodo.data.PackedDataset;
import org.nanodo.metrics.MetricWriter;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.Optimizer;
import org.nanodo.optim.Schedule;

/** The settings of a training run. Data and steps must be set; everything else has a default. */
public final class TrainerBuilder implements Cloneable {
    final LanguageModel model;
    List<Consumer<Metrics>> listeners = new ArrayList<>();
    List<MetricWriter> writers = new ArrayList<>();
    Map<String, Evaluator> evaluators = new LinkedHashMap<>();
    PackedDataset data;
    Function<LanguageModel, Engine> engine = Engine::of;
    Predicate<String> trainable;
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

    /** Sets the training data. */
    public TrainerBuilder data(PackedDataset data) {
        this.data = data;
        return this;
    }

    /** Sets the total number of updates, counted from the run's beginning. */
    public TrainerBuilder steps(long steps) {
        this.steps = steps;
        return this;
    }

    /** Sets the loss. Default: the model's own, if it is a {@link Loss.OfModel}, else {@link Loss#crossEntropy()}. */
    public TrainerBuilder loss(Loss loss) {
        this.loss = loss;
        return this;
    }

    /**
     * Trains the parameters whose names this selects, and freezes the others: they have no gradient, no moments and no part in the
     * gradient's norm, but are saved and sharded like all others. Default: leaves each as {@link Parameter#trainable} has set it.
     */
    public TrainerBuilder trainable(Predicate<String> names) {
        this.trainable = names;
        return this;
    }

    /** Sets the optimizer. Default: {@link AdamW#with()}. */
    public TrainerBuilder optimizer(Optimizer optimizer) {
        this.optimizer = optimizer;
        return this;
    }

    /**
     * Sets the learning rate schedule. Default: NanoDO's warmup from 1.6e-4 to 1.6e-3 over the first 1 % of the steps, then a
     * cosine down to 1.6e-4.
     */
    public TrainerBuilder schedule(Schedule schedule) {
        this.schedule = schedule;
        return this;
    }

    /** Clips gradients to this global norm. Default: no clipping. */
    public TrainerBuilder clip(double globalNorm) {
        this.clip = globalNorm;
        return this;
    }

    /** Computes each batch in this number of equal parts, which need less memory for activations and give the same result. */
    public TrainerBuilder accumulate(int microBatches) {
        this.microBatches = microBatches;
        return this;
    }

    /**
     * Adds an evaluation set, which is evaluated before the first step, after every {@code everySteps} steps and at the end. Its
     * metrics are {@code eval_loss} and so on. For a curve that is compared with training, rows must be as long as in training.
     */
    public TrainerBuilder evaluate(PackedDataset validation, long everySteps) {
        return evaluate("", validation, everySteps);
    }

    /** Adds a named evaluation set; the name prefixes its metrics: {@code wiki/eval_loss}. */
    public TrainerBuilder evaluate(String name, PackedDataset validation, long everySteps) {
        check(
                evaluators.put(name, new Evaluator(name, validation, everySteps)) == null,
                "Two evaluation sets are called \"" + name + "\"");
        return this;
    }

    /** Limits each evaluation to this number of batches, NanoDO's {@code eval_steps}. Default: all batches of a set. */
    public TrainerBuilder evalSteps(long batches) {
        this.evalSteps = batches;
        return this;
    }

    /**
     * Measures root mean square, mean and standard deviation of gradients, parameters and updates, for each parameter and for all
     * together, at every {@code everySteps}-th step: {@code grads/blocks.0.query/rms}, {@code updates/all/std}. Every step is
     * NanoDO's {@code log_internal_metrics}. Costs a copy of the parameters, and time in the measured steps. Default: never.
     */
    public TrainerBuilder internalMetrics(long everySteps) {
        this.internalSteps = everySteps;
        return this;
    }

    /** Sets the peak floating-point operations per second of one rank's device. Default: unknown, without a metric {@code mfu}. */
    public TrainerBuilder peakFlops(double flopsPerSecond) {
        this.peakFlops = flopsPerSecond;
        return this;
    }

    /** Writes checkpoints to this directory every 2,000 steps and at the end, and keeps the newest three. */
    public TrainerBuilder checkpoints(Path workdir) {
        return checkpoints(workdir, checkpointSteps, keep);
    }

    /** Writes checkpoints to this directory at every {@code everySteps}-th step and at the end. Default: no checkpoints. */
    public TrainerBuilder checkpoints(Path workdir, long everySteps, int keep) {
        this.workdir = workdir;
        this.checkpointSteps = everySteps;
        this.keep = keep;
        return this;
    }

    /** Sets whether to write a checkpoint of the untrained model, too. Default: false. */
    public TrainerBuilder checkpointAtStart(boolean writes) {
        this.checkpointAtStart = writes;
        return this;
    }

    /** Keeps the checkpoints of all multiples of this number of steps, besides the newest ones. Default: none. */
    public TrainerBuilder keepEvery(long steps) {
        this.keepEvery = steps;
        return this;
    }

    /**
     * Allows a run to resume although a file of the training data has another size or time than when the checkpoint was written,
     * as in a copy of the corpus. Default: that is an error, since a resumed run must equal one that never stopped.
     */
    public TrainerBuilder allowChangedData(boolean allows) {
        this.allowChangedData = allows;
        return this;
    }

    /** Adds a listener that receives every step's metrics, one step late, and every evaluation's, the same on all ranks. */
    public TrainerBuilder listen(Consumer<Metrics> listener) {
        listeners.add(listener);
        return this;
    }

    /** Adds a writer that receives the same metrics as listeners, but on rank 0 only. The trainer closes it. */
    public TrainerBuilder write(MetricWriter writer) {
        writers.add(writer);
        return this;
    }

    /** Creates the engine, which computes loss and gradients, of the model. Default: {@link Engine#of}, for one device. */
    public TrainerBuilder engine(Function<LanguageModel, Engine> engine) {
        this.engine = engine;
        return this;
    }

    /** Uses an existing engine, which the caller closes. */
    public TrainerBuilder engine(Engine engine) {
        return engine(model -> engine);
    }

    /**
     * Creates the trainer, which does not follow later changes of this builder.
     *
     * @throws IllegalArgumentException if a setting is missing or does not fit the model
     */
    public Trainer build() {
        check(data != null, "No training data: call data(PackedDataset.of(…))");
        check(steps > 0, "steps is " + steps + ": set the number of updates");
        check(microBatches > 0, microBatches + " micro-batches: there must be at least one");
        check(clip > 0, "clip is " + clip + ": it must be positive");
        check(checkpointSteps > 0, "Checkpoints every " + checkpointSteps + " steps: the number must be positive");
        check(keep > 0, "keep is " + keep + ": at least one checkpoint must be kept");
        check(keepEvery > 0, "Keeping checkpoints every " + keepEvery + " steps: the number must be positive");
        checkLength(data);
        check(evalSteps > 0, "An evaluation of " + evalSteps + " batches: the number must be positive");
        check(internalSteps > 0, "Internal metrics every " + internalSteps + " steps: the number must be positive");
        check(!(peakFlops <= 0), "A peak of " + peakFlops + " operations per second: it must be positive");
        for (Evaluator evaluator : evaluators.values()) {
            check(
                    evaluator.everySteps() > 0,
                    "Evaluation every " + evaluator.everySteps() + " steps: the number must be positive");
            checkLength(evaluator.data());
            check(
                    data.tokenizer().matches(evaluator.data().tokenizer().spec()),
                    "The validation data has another tokenizer than the training data");
        }
        return new Trainer(copy());
    }

    /** Returns a copy that has the defaults that depend on other settings. */
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
