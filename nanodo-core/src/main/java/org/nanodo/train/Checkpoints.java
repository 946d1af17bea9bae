package org.nanodo.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.nanodo.checkpoint.CheckpointStore;
import org.nanodo.data.BatchIterator;
import org.nanodo.runtime.Scope;

/** Where a run's state goes and comes from; a run without a folder for it saves nothing. */
final class Checkpoints implements AutoCloseable {
    private final TrainerBuilder options;
    private final Optimizer.State optimizer;
    private final BatchIterator batches;
    private final CheckpointStore store;
    private boolean own;
    private RunState.DataShape dataShape;

    Checkpoints(TrainerBuilder options, Optimizer.State optimizer, BatchIterator batches) {
        this.options = options;
        this.optimizer = optimizer;
        this.batches = batches;
        store = options.workdir == null ? null : new CheckpointStore(options.workdir, options.keep, options.keepEvery);
    }

    /** @throws IllegalStateException if the folder is another run's */
    void claim() throws IOException {
        if (store != null) {
            store.lock();
            if (!own && !store.isEmpty()) {
                throw new IllegalStateException(options.workdir + " holds checkpoints of an earlier run: "
                        + "call resume() to go on from them, or choose another folder");
            }
            own = true;
        }
    }

    /** Reads the newest, if there is one. */
    Optional<RunState> resume() throws IOException {
        if (store == null) {
            return Optional.empty();
        }
        store.lock();
        store.await();
        own = true;
        Optional<Path> latest = store.latest();
        return latest.isPresent() ? Optional.of(restore(latest.get())) : Optional.empty();
    }

    /** Reads one over the model, the optimizer's state and the data's position. */
    RunState restore(Path checkpoint) throws IOException {
        RunState state =
                RunState.read(checkpoint, options.model, dataShape(), options.data.tokenizer(), optimizer.tensors());
        batches.seek(state.position());
        return state;
    }

    /** Whether one is to be written after this step. */
    boolean due(long step) {
        return store != null && step % options.checkpointSteps == 0;
    }

    /** Copies the state; it is written while training goes on. */
    void save(long step) throws IOException {
        if (store != null) {
            try (var scope = Scope.open()) {
                store.save(
                        step,
                        RunState.of(step, batches.position(), dataShape())
                                .contents(options.model, options.data.tokenizer(), optimizer.tensors()));
            }
        }
    }

    /** @throws IOException what the last save failed with, if that is known by now */
    void check() throws IOException {
        if (store != null) {
            store.check();
        }
    }

    /** Waits for the last save. @throws IOException what it failed with */
    void await() throws IOException {
        if (store != null) {
            store.await();
        }
    }

    /** Reads documents of the corpus, so it is asked for once a run. */
    private RunState.DataShape dataShape() throws IOException {
        if (dataShape == null) {
            dataShape = RunState.DataShape.of(options.data);
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
