package org.nanodo.train;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.nanodo.data.PackedDataset;
import org.nanodo.model.LanguageModel;

/** Everything about a run but its model. Data and steps have to be named, in any order. */
public final class TrainerBuilder implements Cloneable {
    final LanguageModel model;
    List<Consumer<Metrics>> listeners = new ArrayList<>();
    PackedDataset data;
    Engine.Factory engine = SingleDevice::new;
    Loss loss = Loss.crossEntropy();
    Optimizer optimizer = AdamW.with();
    Schedule schedule;
    double clip = Double.POSITIVE_INFINITY;
    int microBatches = 1;
    long steps;
    Evaluator evaluator;
    Path workdir;
    long checkpointSteps = 2000;
    int keep = 3;
    long keepEvery = Long.MAX_VALUE;

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

    /** Default: {@link Loss#crossEntropy()}. */
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

    /** Evaluates on all of this dataset every so many steps and at the end. */
    public TrainerBuilder evaluate(PackedDataset validation, long everySteps) {
        this.evaluator = new Evaluator(validation, everySteps);
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

    /** Checkpoints of steps that this divides stay for good, besides the newest. */
    public TrainerBuilder keepEvery(long steps) {
        this.keepEvery = steps;
        return this;
    }

    /** Hears every step's metrics, one step late, and every evaluation's. */
    public TrainerBuilder listen(Consumer<Metrics> listener) {
        listeners.add(listener);
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
        checkLength(data);
        if (evaluator != null) {
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
