package org.nanodo.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.nanodo.data.Batch;
import org.nanodo.data.BatchIterator;
import org.nanodo.data.PackedDataset;
import org.nanodo.files.CorruptFileException;
import org.nanodo.metrics.MetricWriter;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;
import org.nanodo.optim.Optimizer;
import org.nanodo.runtime.Agreement;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.NativeErrors;
import org.nanodo.runtime.ShutdownHook;
import org.nanodo.train.StepClock.Phase;
import org.nanodo.train.TrainStep.Started;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The training loop: one step after another, with evaluations and checkpoints in between. A {@link TrainStep} is one step.
 *
 * <p>Threads: while one thread resumes or runs a trainer, others may only call {@link #step}, {@link #stop} and {@link #close}.
 * Listeners are called on the running thread, the only one that may use the model meanwhile. Trainers of different models may
 * run at the same time, but share the processor's threads and LibTorch's random numbers.
 */
public final class Trainer implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Trainer.class);

    private final TrainerBuilder options;
    private final Engine engine;
    private final Collectives ranks;
    private final Agreement agreement;
    private final List<Evaluator> evaluators;
    private final Optimizer.State optimizer;
    private final StepClock clock = new StepClock();
    private final TrainStep trainStep;
    private final StepMetrics stepMetrics;
    private final BatchIterator batches;
    private final Checkpoints checkpoints;
    private final ExclusiveUse use;
    private final Set<String> evaluated = new TreeSet<>(); // sets whose evaluation at this step was reported
    private volatile long step;
    private volatile boolean stopping;
    private boolean allStop; // whether the ranks have agreed to stop
    private boolean failed;
    private Started pending; // the last step, until it is reported

    Trainer(TrainerBuilder options) {
        this.options = options;
        LanguageModel model = options.model;
        options.data.tokenizer().checkFits(model.config().V());
        engine = options.engine.apply(model);
        ranks = engine.ranks();
        PackedDataset data = options.data.shard(ranks.rank(), ranks.world());
        int rows = data.batch() / ranks.world();
        TrainerBuilder.check(
                rows % options.microBatches == 0,
                "A batch of " + rows + " rows does not divide into " + options.microBatches + " micro-batches");
        evaluators = options.evaluators.values().stream()
                .map(evaluator -> evaluator.shard(ranks.rank(), ranks.world()))
                .toList();
        var parameters = new ArrayList<>(model.parameters());
        parameters.addAll(engine.parameters());
        if (options.trainable != null) {
            parameters.forEach(p -> p.trainable(options.trainable.test(p.name())));
        }
        var trained =
                engine.parameters().stream().filter(Parameter::isTrainable).toList();
        TrainerBuilder.check(!trained.isEmpty(), "No parameter is trainable: all are frozen");
        optimizer = options.optimizer.start(trained, ranks);
        agreement = new Agreement(ranks, model.device());
        trainStep = new TrainStep(options, engine, optimizer, clock);
        stepMetrics = new StepMetrics(options, ranks.world());
        use = new ExclusiveUse(parameters, this::free);
        batches = data.iterator(); // starts threads: nothing that follows fails
        checkpoints = new Checkpoints(options, engine, optimizer, batches, agreement);
    }

    public static TrainerBuilder of(LanguageModel model) {
        return new TrainerBuilder(model);
    }

    /** Returns the number of updates made so far. */
    public long step() {
        return step;
    }

    /**
     * Resumes from the newest intact checkpoint, as if the run had never stopped, or starts from scratch if there is none.
     *
     * @throws IllegalArgumentException if the checkpoint has another model, tokenizer or dataset, or more steps than this run
     * @throws IllegalStateException if another run is writing to the directory
     * @throws CorruptFileException if there are checkpoints but none is intact
     */
    public Trainer resume() throws IOException {
        return restore(Optional.empty());
    }

    /**
     * Resumes as {@link #resume}, or, if this run has no checkpoint yet, from a checkpoint of another run, which is not changed.
     *
     * @param other the other run's directory, whose newest checkpoint is read, or that of a single checkpoint
     */
    public Trainer restoreFrom(Path other) throws IOException {
        return restore(Optional.of(other));
    }

    private Trainer restore(Optional<Path> other) throws IOException {
        try (var turn = use.begin()) {
            boolean failedBefore = failed;
            failed = true; // if reading fails, here or on another rank, some parameters may be overwritten
            Optional<RunState> state = checkpoints.resume();
            if (state.isEmpty() && other.isPresent()) {
                state = Optional.of(checkpoints.restore(other.get()));
            }
            failed = failedBefore && state.isEmpty();
            state.ifPresent(this::restore);
            return this;
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a checkpoint");
        }
    }

    private void restore(RunState state) {
        step = state.step();
        evaluated.clear();
        evaluated.addAll(state.evaluated());
        stepMetrics.resumeFrom(state.tokens());
        trainStep.recover();
    }

    /**
     * Trains until the last step, the end of the data, or {@link #stop}, which Ctrl-C and SIGTERM call too. Then evaluates,
     * unless it was stopped, and writes a checkpoint.
     *
     * @throws DivergedException if a loss or gradient was not finite; the parameters are those before that step
     * @throws IllegalStateException if the directory for checkpoints is another run's, or after a run that failed
     * @throws IOException if a checkpoint cannot be written; earlier ones are kept
     */
    public void run() throws IOException {
        try (var turn = use.begin()) {
            if (failed) {
                throw new IllegalStateException("This run has failed in the middle of a step, or could not be resumed: "
                        + "return to its newest checkpoint with resume(), or build a new trainer");
            }
            checkpoints.claim();
            failed = true; // until the loop has ended well
            runLoop();
            failed = false;
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a step of training");
        }
    }

    private void runLoop() throws IOException {
        try (var onShutdown = new ShutdownHook(this::stop)) {
            allStop = agreement.any(stopping);
            loop();
        } catch (IOException | RuntimeException | Error e) {
            checkpoints.awaitAfter(e);
            throw e;
        } finally {
            if (pending != null) {
                pending.close();
                pending = null;
            }
            stopping = false;
            try {
                engine.clearGradients(); // of a step that failed half-way
            } catch (IllegalStateException e) { // the model was closed meanwhile
                log.warn("The gradients of the last step are not cleared: {}", e.getMessage());
            }
        }
    }

    private void loop() throws IOException {
        clock.skip();
        evaluate(false); // the untrained model, or what a run that stopped at this step left to do
        if (step == 0 && options.checkpointAtStart) {
            save();
        }
        while (step < options.steps && !stops() && batches.hasNext()) {
            Batch batch = batches.next();
            clock.lap(Phase.DATA);
            Started previous = pending;
            pending = trainStep.start(batch, step, stopping, checkpoints.progress());
            step++;
            evaluated.clear();
            report(previous);
            clock.lap(Phase.REPORT);
            evaluate(step == options.steps); // before the checkpoint, which names the sets that were reported
            if (checkpoints.due(step)) {
                save();
            }
        }
        evaluate(true);
        save();
        checkpoints.await();
    }

    /** Returns whether to stop: a single rank at once, several when all know, which is as late as the metrics. */
    private boolean stops() {
        return ranks.world() == 1 ? stopping : allStop;
    }

    /** Reads a step's numbers, checks that they are finite, and reports them. */
    private void report(Started done) throws IOException {
        if (done == null) {
            return;
        }
        try (done) {
            TrainStep.Sums sums = done.read();
            allStop |= sums.stopping() > 0;
            if (!Double.isFinite(sums.loss()) || !Double.isFinite(sums.norm())) {
                step = done.step() - 1;
                throw new DivergedException(done.step(), sums.loss() / sums.weight(), sums.norm() / sums.weight());
            }
            checkpoints.commitIfWritten(sums.written(), sums.failed());
            report(stepMetrics.of(done, sums));
        }
    }

    private void reportPending() throws IOException {
        Started done = pending;
        pending = null;
        report(done);
    }

    private void report(Metrics metrics) {
        options.listeners.forEach(listener -> listener.accept(metrics));
        if (ranks.rank() == 0) {
            options.writers.forEach(writer -> writer.accept(metrics));
        }
    }

    /** Evaluates the sets that are due, or all at the end, except those that were reported at this step already. */
    private void evaluate(boolean all) throws IOException {
        var due = evaluators.stream()
                .filter(set -> all || set.due(step))
                .filter(set -> !evaluated.contains(set.name()))
                .toList();
        if (due.isEmpty() || stops()) {
            return;
        }
        reportPending();
        if (ranks.world() > 1) {
            checkpoints.await(); // the next step, which would report that all have written, is far away
        }
        var values = new LinkedHashMap<String, Double>();
        due.forEach(set -> values.putAll(set.evaluate(engine, agreement, options.evalSteps)));
        report(new Metrics(step, values));
        due.forEach(set -> evaluated.add(set.name()));
        clock.skip();
    }

    private void save() throws IOException {
        reportPending(); // so that no checkpoint ever holds what is not finite
        checkpoints.save(step, stepMetrics.tokensSeen(), List.copyOf(evaluated));
        clock.skip();
    }

    /**
     * Ends {@link #run} after the current step, with a checkpoint but without a last evaluation, which a resumed run makes up
     * for. If no run is under way, the next one ends before its first step. May be called by any thread.
     */
    public void stop() {
        stopping = true;
    }

    /**
     * Waits for the last checkpoint, closes the writers, frees the optimizer's state and stops the data thread; the model stays
     * open. A run on another thread is stopped first; a listener's call takes effect when the run has ended. Closing again does
     * nothing.
     */
    @Override
    public void close() {
        use.close(this::stop);
    }

    private void free() {
        try (trainStep;
                optimizer;
                batches;
                checkpoints) {
            // Resources are closed from the last to the first, and all of them even if one fails.
        } finally {
            options.writers.forEach(MetricWriter::close);
        }
    }
}
