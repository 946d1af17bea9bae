package org.nanodo.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.checkpoint.Contents;
import org.nanodo.checkpoint.Json;
import org.nanodo.checkpoint.Slice;
import org.nanodo.checkpoint.TensorSet;
import org.nanodo.data.PackedDataset;
import org.nanodo.data.Packing;
import org.nanodo.data.Position;
import org.nanodo.data.Tokenizer;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFiles;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;

/**
 * A checkpoint's folder: model, tokenizer, the {@link TensorSet} {@code optimizer} with the moments and the state of LibTorch's
 * random numbers, and this record as {@code run.json}.
 *
 * @param step updates made
 * @param tokens targets learnt from
 * @param position where the data goes on
 * @param data what the position counts in
 * @param library version of this library that wrote it
 */
record RunState(long step, double tokens, Position position, DataShape data, String library) {
    private static final String RUN = "run.json";
    private static final String OPTIMIZER = "optimizer";
    private static final String RANDOM = "random_state";

    /** All that a data position depends on. */
    record DataShape(
            String fingerprint, int length, int batch, long epochs, boolean shuffles, long seed, Packing packing) {
        static DataShape of(PackedDataset data) throws IOException {
            return new DataShape(
                    data.mixture().fingerprint(),
                    data.length(),
                    data.batch(),
                    data.epochs(),
                    data.shuffles(),
                    data.seed(),
                    data.packing());
        }
    }

    static RunState of(long step, double tokens, Position position, DataShape data) throws IOException {
        try (var version = RunState.class.getResourceAsStream("version.txt")) {
            return new RunState(
                    step, tokens, position, data, new String(version.readAllBytes(), StandardCharsets.UTF_8).strip());
        }
    }

    /** What the engine's rank writes of a checkpoint. */
    Contents contents(LanguageModel model, Engine engine, Tokenizer tokenizer, Map<String, Slice> optimizer) {
        var tensors = new LinkedHashMap<>(optimizer);
        tensors.put(RANDOM, Slice.all(torch.getDefaultCPUGenerator().get_state()));
        var contents = new Contents(engine.ranks().rank(), engine.ranks().world());
        return ModelFiles.add(contents, model, engine.parameters(), tokenizer)
                .json(RUN, this)
                .tensors(OPTIMIZER, tensors);
    }

    /** Reads a checkpoint, or what the engine's rank needs of it, over a model and an optimizer's state. */
    static RunState read(
            Path directory,
            LanguageModel model,
            Engine engine,
            DataShape data,
            Tokenizer tokenizer,
            Map<String, Slice> optimizer)
            throws IOException {
        RunState state = Json.read(directory.resolve(RUN), RunState.class);
        if (!state.data.equals(data)) {
            throw new IllegalArgumentException(directory + " was trained on other data, " + state.data + ", this is "
                    + data + ": to go on from its parameters alone, use LanguageModel.load");
        }
        if (!tokenizer.matches(ModelFiles.tokenizerSpec(directory))) {
            throw new IllegalArgumentException(directory + " was trained with another tokenizer than this run's");
        }
        ModelFiles.checkSizes(model, directory);
        try (var tensors = TensorSet.open(directory, OPTIMIZER);
                var scope = Scope.open()) {
            for (var moment : optimizer.entrySet()) {
                tensors.require(moment.getKey(), moment.getValue()); // all of them, before any is read
            }
            ModelFiles.loadInto(model, engine.parameters(), directory);
            for (var moment : optimizer.entrySet()) {
                tensors.readInto(moment.getKey(), moment.getValue());
            }
            Generator random = torch.getDefaultCPUGenerator();
            random.set_state(tensors.read(RANDOM, Device.cpu()));
        }
        return state;
    }
}
