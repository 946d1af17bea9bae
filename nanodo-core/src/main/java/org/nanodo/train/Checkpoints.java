package org.nanodo.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.nanodo.checkpoint.CheckpointStore;
import org.nanodo.data.BatchIterator;
import org.nanodo.optim.Optimizer;
import org.nanodo.runtime.Scope;

/**
 * Where a run's state goes and comes from; a run without a folder for it saves nothing. Of several ranks each writes and reads
 * what it has, and all call the same methods, which succeed or fail on all.
 */
final class Checkpoints implements AutoCloseable {
    private static final long NONE = -1;

    private final TrainerBuilder options;
    private final Engine engine;
    private final Optimizer.State optimizer;
    private final BatchIterator batches;
    private final Agreement together;
    private final CheckpointStore store;
    private boolean own;
    private IOException failure;
    private RunState.DataShape dataShape;

    Checkpoints(
            TrainerBuilder options,
            Engine engine,
            Optimizer.State optimizer,
            BatchIterator batches,
            Agreement together) {
        this.options = options;
        this.engine = engine;
        this.optimizer = optimizer;
        this.batches = batches;
        this.together = together;
        store = options.workdir == null ? null : new CheckpointStore(options.workdir, options.keep, options.keepEvery);
    }

    /** @throws IllegalStateException if the folder is another run's */
    void claim() throws IOException {
        if (store != null) {
            together.run(() -> {
                if (together.isFirst()) {
                    store.lock();
                    if (!own && !store.isEmpty()) {
                        throw new IllegalStateException(options.workdir + " holds checkpoints of an earlier run: "
                                + "call resume() to go on from them, or choose another folder");
                    }
                }
            });
            own = true;
        }
    }

    /** Reads the newest, if there is one. */
    Optional<RunState> resume() throws IOException {
        if (store == null) {
            return Optional.empty();
        }
        long[] newest = {NONE};
        together.run(() -> {
            store.await();
            if (together.isFirst()) {
                store.lock();
                newest[0] = store.latest().map(CheckpointStore::step).orElse(NONE);
            }
        });
        long step = together.ofFirst(newest[0]);
        Optional<RunState> state = step == NONE ? Optional.empty() : Optional.of(read(store.path(step)));
        own = true; // what was refused is another run's
        return state;
    }

    /** Reads the newest of another run, or one by its own folder. */
    RunState restore(Path other) throws IOException {
        long[] newest = {NONE};
        together.run(() -> {
            if (together.isFirst()) {
                Path found = CheckpointStore.find(other);
                newest[0] = found.equals(other) ? NONE : CheckpointStore.step(found);
            }
        });
        long step = together.ofFirst(newest[0]);
        return read(step == NONE ? other : new CheckpointStore(other, 1).path(step));
    }

    /** Reads one over the model, the optimizer's state and the data's position. */
    private RunState read(Path checkpoint) throws IOException {
        RunState[] state = new RunState[1];
        together.run(() -> state[0] = RunState.read(checkpoint, options, engine, dataShape(), optimizer.tensors()));
        batches.seek(state[0].position());
        return state[0];
    }

    /** Whether one is to be written after this step. */
    boolean due(long step) {
        return store != null && step % options.checkpointSteps == 0;
    }

    /** Copies the state; it is written while training continues. @param evaluated {@link RunState#evaluated} */
    void save(long step, double tokens, List<String> evaluated) throws IOException {
        if (store != null) {
            await();
            together.run(() -> {
                try (var scope = Scope.open()) {
                    store.save(
                            step,
                            RunState.of(step, tokens, batches.position(), dataShape(), evaluated)
                                    .contents(options.model, engine, options.data.tokenizer(), optimizer.tensors()));
                }
            });
        }
    }

    /** How the last save is doing, to be summed over the ranks: 1 if this one has written its own, 1 if it has failed. */
    float[] progress() {
        try {
            return new float[] {store != null && store.isWritten() ? 1 : 0, 0};
        } catch (IOException e) {
            failure = e;
            return new float[] {0, 1};
        }
    }

    /** Hears the sums of {@link #progress}. @throws IOException what the save has failed with on some rank */
    void hear(float written, float failed) throws IOException {
        if (failed > 0) {
            IOException mine = failure;
            failure = null;
            throw mine != null
                    ? mine
                    : new IOException("A checkpoint could not be written by another rank, whose own message says why; "
                            + "those before it stay");
        }
        if (store != null && written == together.world()) {
            store.commit();
        }
    }

    /** Waits for the last save of all ranks. @throws IOException what it failed with */
    void await() throws IOException {
        if (store != null) {
            together.run(store::awaitWritten);
            store.commit();
            together.run(store::await);
        }
    }

    /** Waits for this rank alone, when the others may be gone: what all have not written by now is given up. */
    void awaitAlone() throws IOException {
        if (failure != null) {
            IOException untold = failure;
            failure = null;
            throw untold;
        }
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
