package org.nanodo.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.nanodo.checkpoint.CheckpointStore;
import org.nanodo.checkpoint.Contents;
import org.nanodo.checkpoint.Slice;
import org.nanodo.checkpoint.TensorSet;
import org.nanodo.data.DataShape;
import org.nanodo.data.Position;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Json;
import org.nanodo.files.Manifest;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFiles;
import org.nanodo.runtime.Scope;
import org.nanodo.tokenizer.Tokenizer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The state of a run in a checkpoint's directory, as {@code run.json} beside model, tokenizer and the {@link TensorSet}
 * {@code optimizer} with the moments. Random numbers have no state, since each step seeds them.
 *
 * @param step number of updates made
 * @param tokens number of targets trained on
 * @param position where the data resumes
 * @param data describes the data that the position refers to
 * @param library version of this library that wrote the checkpoint
 * @param evaluated names of the sets whose evaluation at this step was reported before the checkpoint was written; null for none
 */
record RunState(long step, double tokens, Position position, DataShape data, String library, List<String> evaluated) {
    private static final Logger log = LoggerFactory.getLogger(RunState.class);

    private static final String RUN = "run.json";
    private static final String OPTIMIZER = "optimizer";

    RunState {
        if (step < 0 || !(tokens >= 0) || position == null || data == null) {
            throw new IllegalArgumentException(
                    "The state of a run must have a step and tokens that are not negative, a position and data");
        }
        evaluated = evaluated == null ? List.of() : List.copyOf(evaluated);
    }

    static RunState of(long step, double tokens, Position position, DataShape data, List<String> evaluated)
            throws IOException {
        try (var version = RunState.class.getResourceAsStream("version.txt")) {
            return new RunState(
                    step,
                    tokens,
                    position,
                    data,
                    new String(version.readAllBytes(), StandardCharsets.UTF_8).strip(),
                    evaluated);
        }
    }

    /** Returns this rank's part of a checkpoint. */
    Contents contents(LanguageModel model, Engine engine, Tokenizer tokenizer, Map<String, Slice> optimizer) {
        var contents = new Contents(engine.ranks().rank(), engine.ranks().world());
        return ModelFiles.add(contents, model, engine.parameters(), tokenizer)
                .json(RUN, this)
                .tensors(OPTIMIZER, optimizer);
    }

    /** Reads this rank's part of a checkpoint over the run's model and its optimizer's state. */
    static RunState read(
            Path directory, TrainerBuilder run, Engine engine, DataShape data, Map<String, Slice> optimizer)
            throws IOException {
        LanguageModel model = run.model;
        Tokenizer tokenizer = run.data.tokenizer();
        Manifest.verify(directory, Set.of(RUN));
        RunState state = Json.read(directory.resolve(RUN), RunState.class);
        if (!CheckpointStore.mayBeOf(state.step, directory)) {
            throw new CorruptFileException(
                    directory.resolve(RUN),
                    "is of step " + state.step + ", which is not what its directory's name says: was it renamed?");
        }
        if (state.step > run.steps) {
            throw new IllegalArgumentException(directory + " has made " + state.step + " steps, more than the "
                    + run.steps + " of this run: set at least as many steps, or choose an earlier checkpoint");
        }
        if (!state.data.differences(data).isEmpty()) {
            throw new IllegalArgumentException(directory + " was trained on other data: " + state.data.differences(data)
                    + ". Choose another directory, or use LanguageModel.load to continue from its parameters alone");
        }
        String changed = state.data.changedFile(data, engine.ranks().rank() == 0);
        if (changed != null && !run.allowChangedData) {
            throw new IllegalArgumentException(
                    directory + " was trained on data that has changed or been copied since: "
                            + changed
                            + ". Restore the file or, if its text is the same, as in a copy, or may differ, resume with"
                            + " allow_changed_data=true, in a program allowChangedData(true)");
        } else if (changed != null) {
            log.warn("{} was trained on data that has changed or been copied since: {}", directory, changed);
        }
        if (!tokenizer.matches(ModelFiles.tokenizerSpec(directory))) {
            throw new IllegalArgumentException(directory + " was trained with another tokenizer than that of this run");
        }
        ModelFiles.checkSizes(model, directory);
        try (var tensors = TensorSet.open(directory, OPTIMIZER);
                var scope = Scope.open()) {
            try {
                for (var moment : optimizer.entrySet()) {
                    tensors.require(moment.getKey(), moment.getValue()); // all of them, before any is read
                }
            } catch (CorruptFileException e) { // the manifest says that the file is as it was written
                throw new IllegalArgumentException(e.getMessage() + ": was it trained with another optimizer?", e);
            }
            ModelFiles.loadInto(model, engine.parameters(), directory);
            for (var moment : optimizer.entrySet()) {
                tensors.readInto(moment.getKey(), moment.getValue());
            }
        }
        return state;
    }
}
