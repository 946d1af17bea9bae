package org.nanodo.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.nanodo.checkpoint.CheckpointStore;
import org.nanodo.data.BatchIterator;
import org.nanodo.data.DataShape;
import org.nanodo.optim.Optimizer;
import org.nanodo.runtime.Agreement;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Scope;

/**
 * Saves and restores a run's state; a run without a directory for checkpoints saves nothing. Each of several ranks writes and
 * reads its own part. All ranks call the same methods, which succeed or fail on all of them.
 */
final class Checkpoints implements AutoCloseable {
    private static final long NONE = -1;

    private final TrainerBuilder options;
    private final Engine engine;
    private final Optimizer.State optimizer;
    private final BatchIterator batches;
    private final Agreement agreement;
    private final CheckpointStore store;
    private boolean own; // whether the checkpoints in the directory are this run's
    private RunState newest; // in the directory
    private IOException failure; // of a save, not thrown yet
    private DataShape dataShape;

    /** The progress of a rank's last save. */
    record Progress(boolean written, boolean failed) {}

    Checkpoints(
            TrainerBuilder options,
            Engine engine,
            Optimizer.State optimizer,
            BatchIterator batches,
            Agreement agreement) {
        this.options = options;
        this.engine = engine;
        this.optimizer = optimizer;
        this.batches = batches;
        this.agreement = agreement;
        store = options.workdir == null ? null : new CheckpointStore(options.workdir, options.keep, options.keepEvery);
    }

    /**
     * Makes the directory this run's own.
     *
     * @throws IllegalStateException if it is another run's
     */
    void claim() throws IOException {
        if (store != null) {
            agreement.run(() -> {
                if (engine.ranks().rank() == 0) {
                    store.lock();
                    if (!own && !store.isEmpty()) {
                        throw new IllegalStateException(options.workdir + " holds checkpoints of an earlier run: "
                                + "call resume() to continue it, or choose another directory");
                    }
                }
            });
            own = true;
        }
    }

    /** Restores this run's newest checkpoint, if there is one. */
    Optional<RunState> resume() throws IOException {
        newest = null;
        if (store == null) {
            return Optional.empty();
        }
        agreement.run(store::await);
        long step = agreement.askFirst(() -> {
            store.lock();
            return store.latest().map(CheckpointStore::step).orElse(NONE);
        });
        newest = step == NONE ? null : read(store.path(step));
        own = true; // checkpoints that were refused stay another run's
        return Optional.ofNullable(newest);
    }

    /** Restores the newest checkpoint of another run, or a checkpoint by its own directory. */
    RunState restore(Path other) throws IOException {
        long step = agreement.askFirst(() -> {
            Path found = CheckpointStore.find(other);
            return found.equals(other) ? NONE : CheckpointStore.step(found);
        });
        return read(step == NONE ? other : new CheckpointStore(other, 1).path(step));
    }

    /** Reads a checkpoint over the model, the optimizer's state and the data's position. */
    private RunState read(Path checkpoint) throws IOException {
        RunState[] state = new RunState[1];
        agreement.run(() -> state[0] = RunState.read(checkpoint, options, engine, dataShape(), optimizer.tensors()));
        batches.seek(state[0].position());
        return state[0];
    }

    /** Returns whether to save after this step. */
    boolean due(long step) {
        return store != null && step % options.checkpointSteps == 0;
    }

    /**
     * Copies the state, unless the newest checkpoint holds it already; the copy is written while training continues.
     *
     * @param evaluated {@link RunState#evaluated}
     */
    void save(long step, double tokens, List<String> evaluated) throws IOException {
        if (store == null
                || newest != null && newest.step() == step && newest.evaluated().equals(evaluated)) {
            return;
        }
        await();
        agreement.run(() -> {
            try (var scope = Scope.open()) {
                var state = RunState.of(step, tokens, batches.position(), dataShape(), evaluated);
                store.save(step, state.contents(options.model, engine, options.data.tokenizer(), optimizer.tensors()));
                newest = state;
            }
        });
    }

    /** Returns the progress of this rank's last save, to be summed over the ranks. */
    Progress progress() {
        try {
            return new Progress(store != null && store.isWritten(), false);
        } catch (IOException e) {
            failure = e;
            return new Progress(false, true);
        }
    }

    /** Completes the checkpoint once all ranks have written their part, and throws if some rank has failed. */
    void commitIfWritten(float written, float failed) throws IOException {
        if (failed > 0) {
            throwFailure();
            throw new IOException("A checkpoint could not be written by another rank, whose own message says why; "
                    + "earlier checkpoints are kept");
        }
        if (store != null && written == engine.ranks().world()) {
            store.commit();
        }
    }

    private void throwFailure() throws IOException {
        if (failure != null) {
            IOException mine = failure;
            failure = null;
            throw mine;
        }
    }

    /** Waits for the last save of all ranks, and throws if it has failed. */
    void await() throws IOException {
        if (store != null) {
            agreement.run(store::awaitWritten);
            store.commit();
            agreement.run(store::await);
        }
    }

    /**
     * Waits for the last save after a run has failed, since the run is resumed from it. Unless the failure is one of all ranks,
     * the others may be gone: a checkpoint that some have not written by now is given up.
     */
    void awaitAfter(Throwable runFailure) {
        try {
            if (runFailure instanceof DivergedException) { // on all ranks
                await();
            } else {
                throwFailure();
                if (store != null) {
                    store.await();
                }
            }
        } catch (IOException | CollectiveException e) {
            runFailure.addSuppressed(e);
        }
    }

    /** Describes the data. Reads documents of the corpus, so it is done once. */
    private DataShape dataShape() throws IOException {
        if (dataShape == null) {
            dataShape = DataShape.of(options.data);
        }
        return dataShape;
    }

    @Override
    public void close() {
        if (store != null) {
            store.close();
        }
    }
}
