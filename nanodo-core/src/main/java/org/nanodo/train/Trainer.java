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
import org.nanodo.model.ModelUse;
import org.nanodo.optim.Optimizer;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.NativeErrors;
import org.nanodo.train.StepClock.Phase;
import org.nanodo.train.TrainStep.Started;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains a model: batch, loss and gradients, clip, update; and now and then an evaluation or a checkpoint.
 *
 * <p>Threads: while one thread resumes or runs a trainer, others may only ask for its {@link #step}, {@link #stop} it or
 * {@link #close} it; listeners are called on the thread that runs, which alone may use the model meanwhile. Trainers of
 * different models may run at the same time, but they share the processor's threads and LibTorch's random numbers.
 */
public final class Trainer implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Trainer.class);

    private final LanguageModel model;
    private final TrainerBuilder options;
    private final Engine engine;
    private final Collectives ranks;
    private final Optimizer.State optimizer;
    private final BatchIterator batches;
    private final Agreement together;
    private final Checkpoints checkpoints;
    private final InternalMetrics internals;
    private final TrainStep trainStep;
    private final StepMetrics stepMetrics;
    private final StepClock clock = new StepClock();
    private volatile long step;
    private volatile boolean stopping;
    private boolean allStop; // what the ranks have agreed on
    private boolean failed;
    private Started pending;
    private final Set<String> evaluated = new TreeSet<>(); // the sets whose evaluation at this step was told
    private boolean unsaved = true; // whether a checkpoint of now would say more than the last one
    private Thread user; // of what only one thread at a time may call
    private boolean closed;

    Trainer(TrainerBuilder options) {
        this.options = options;
        this.model = options.model;
        options.data.tokenizer().checkFits(model.config().V());
        engine = options.engine.of(model);
        ranks = engine.ranks();
        PackedDataset mine = options.data.shard(ranks.rank(), ranks.world());
        TrainerBuilder.check(
                mine.batch() / mine.world() % options.microBatches == 0,
                "A batch of " + mine.batch() / mine.world() + " rows does not divide into " + options.microBatches
                        + " micro-batches");
        options.evaluators.values().forEach(evaluator -> evaluator.data().shard(ranks.rank(), ranks.world()));
        optimizer = options.optimizer.start(engine.parameters(), ranks);
        together = new Agreement(ranks, model.device());
        internals = new InternalMetrics(model, engine, options.internalSteps);
        trainStep = new TrainStep(options, engine, optimizer, internals, clock);
        stepMetrics = new StepMetrics(options, options.peakFlops * ranks.world(), internals);
        batches = mine.iterator(); // starts threads: nothing that follows fails
        checkpoints = new Checkpoints(options, engine, optimizer, batches, together);
    }

    public static TrainerBuilder of(LanguageModel model) {
        return new TrainerBuilder(model);
    }

    /** Updates made so far. */
    public long step() {
        return step;
    }

    /**
     * Goes on from the newest checkpoint that is whole, as if the run had never stopped; starts afresh where there is none.
     *
     * @throws IllegalArgumentException if the checkpoint is of another model, tokenizer or dataset, or has more steps than
     *     this run
     * @throws IllegalStateException if another run is writing to the folder
     * @throws CorruptFileException if there are checkpoints but none is whole
     */
    public Trainer resume() throws IOException {
        return goOnFrom(this::own);
    }

    /**
     * As {@link #resume}, but where this run has no checkpoint yet it goes on from another's, which stays as it is.
     *
     * @param other the other run's folder, whose newest checkpoint is taken, or that of one checkpoint
     */
    public Trainer restoreFrom(Path other) throws IOException {
        return goOnFrom(() -> {
            Optional<RunState> own = own();
            return own.isPresent() ? own : Optional.of(checkpoints.restore(other));
        });
    }

    private Optional<RunState> own() throws IOException {
        Optional<RunState> own = checkpoints.resume();
        unsaved = own.isEmpty();
        return own;
    }

    private interface Reading {
        Optional<RunState> read() throws IOException;
    }

    /** One that fails may have read some of the parameters, or another rank may: no run goes on from there. */
    private Trainer goOnFrom(Reading checkpoint) throws IOException {
        begin();
        try (var use = training()) {
            boolean before = failed;
            failed = true;
            Optional<RunState> state = checkpoint.read();
            failed = before && state.isEmpty();
            if (state.isPresent()) {
                step = state.get().step();
                evaluated.clear();
                evaluated.addAll(state.get().evaluated());
                stepMetrics.tokensSeen(state.get().tokens());
                trainStep.mend();
            }
            return this;
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a checkpoint");
        } finally {
            end();
        }
    }

    /** Keeps other threads from using the model, and whoever closes it from freeing it, while this thread changes it. */
    private ModelUse training() {
        var parameters = new ArrayList<>(model.parameters());
        parameters.addAll(engine.parameters());
        return ModelUse.training(parameters);
    }

    private synchronized void begin() {
        if (closed) {
            throw new IllegalStateException("This trainer is closed: build a new one");
        }
        if (user != null) {
            throw new IllegalStateException(
                    "This trainer is in use by the thread \"" + user.getName() + "\": wait for its end");
        }
        user = Thread.currentThread();
    }

    private synchronized void end() {
        user = null;
        if (closed) {
            free();
            notifyAll();
        }
    }

    /**
     * Trains until the last step or the end of the data, then evaluates and writes a checkpoint, as far as these were
     * asked for; or until {@link #stop}, which Ctrl-C and SIGTERM call too.
     *
     * @throws DivergedException if a loss or gradient was not finite; parameters are those before that step
     * @throws IllegalStateException if the folder for checkpoints is another run's, or after a run that failed
     * @throws IOException if a checkpoint cannot be written: those before it stay
     */
    public void run() throws IOException {
        begin();
        try (var use = training()) {
            runFromHere();
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a step of training");
        } finally {
            end();
        }
    }

    private void runFromHere() throws IOException {
        if (failed) {
            throw new IllegalStateException(
                    "This run has failed in the middle of a step, or could not be resumed: go back to its newest "
                            + "checkpoint with resume(), or build a new trainer");
        }
        checkpoints.claim();
        failed = true; // until it has gone well
        try (var onShutdown = new ShutdownHook(this::stop)) {
            allStop = together.any(stopping);
            loop();
            failed = false;
        } catch (IOException | RuntimeException | Error e) {
            awaitSave(e);
            throw e;
        } finally {
            discardPending();
            stopping = false;
            clearGradients();
        }
    }

    /** Of a step that failed half-way. A model that was closed meanwhile has none. */
    private void clearGradients() {
        try {
            engine.clearGradients();
        } catch (IllegalStateException e) {
            log.warn("The gradients of the last step are not cleared: {}", e.getMessage());
        }
    }

    /** The checkpoint that a failed run goes back to may still be on its way to the disk. */
    private void awaitSave(Throwable failure) {
        try {
            if (failure instanceof DivergedException) { // on all ranks
                checkpoints.await();
            } else {
                checkpoints.awaitAlone();
            }
        } catch (IOException | CollectiveException e) {
            failure.addSuppressed(e);
        }
    }

    private void loop() throws IOException {
        clock.skip();
        evaluate(false); // the untrained model, or what a run that stopped at this step has left to do
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
            unsaved = true;
            report(previous);
            clock.lap(Phase.REPORT);
            evaluate(step == options.steps); // before the checkpoint, which says what was told by then
            if (checkpoints.due(step)) {
                save();
            }
        }
        evaluate(true);
        save();
        reportPending();
        checkpoints.await();
    }

    /**
     * Ends {@link #run} after the current step, with a checkpoint if there is a folder for them, but without another
     * evaluation, which a run that resumes from there makes up for. Called while there is no run, it ends the next one before its first step. For any thread.
     */
    public void stop() {
        stopping = true;
    }

    /** One rank stops at once; several when all know, which is as late as the metrics. */
    private boolean stops() {
        return ranks.world() == 1 ? stopping : allStop;
    }

    /** Reads the last step's numbers, checks that they are finite, and tells the listeners. */
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
            checkpoints.hear(sums.written(), sums.failed());
            tell(stepMetrics.of(done, sums));
        }
    }

    private void reportPending() throws IOException {
        Started done = pending;
        pending = null;
        report(done);
    }

    /** On the sets that are due at this step, or on all at the end, but for those that were told already. */
    private void evaluate(boolean all) throws IOException {
        if (options.evaluators.isEmpty() || stops()) {
            return;
        }
        var due = options.evaluators.values().stream()
                .filter(set -> all || set.due(step))
                .filter(set -> !evaluated.contains(set.name()))
                .toList();
        if (due.isEmpty()) {
            return;
        }
        reportPending();
        if (ranks.world() > 1) {
            checkpoints.await(); // the next step, which would tell that all have written, is far
        }
        var values = new LinkedHashMap<String, Double>();
        due.forEach(evaluator -> values.putAll(evaluator.evaluate(engine, model.device(), options.evalSteps)));
        tell(new Metrics(step, values));
        due.forEach(set -> evaluated.add(set.name()));
        unsaved = true;
        clock.skip();
    }

    private void save() throws IOException {
        reportPending(); // so that nothing that is not finite is ever saved
        if (unsaved) {
            checkpoints.save(step, stepMetrics.tokensSeen(), List.copyOf(evaluated));
            unsaved = false;
        }
        clock.skip();
    }

    private void tell(Metrics metrics) {
        options.listeners.forEach(listener -> listener.accept(metrics));
        if (ranks.rank() == 0) {
            options.writers.forEach(writer -> writer.accept(metrics));
        }
    }

    private void discardPending() {
        if (pending != null) {
            pending.close();
            pending = null;
        }
    }

    /**
     * Waits for the last checkpoint, closes writers, frees the optimizer's state and stops the data thread. The model stays
     * open. A run on another thread is stopped and waited for; called by a listener, it stops the run and takes effect at its
     * end. Closing again does nothing.
     */
    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        if (user == null) {
            free();
            return;
        }
        stop();
        boolean interrupted = false;
        while (user != null && user != Thread.currentThread()) {
            try {
                wait();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void free() {
        checkpoints.close();
        batches.close();
        optimizer.close();
        internals.close();
        trainStep.close();
        options.writers.forEach(MetricWriter::close);
    }
}
