package org.nanodo.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.checkpoint.Contents;
import org.nanodo.checkpoint.Json;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.data.PackedDataset;
import org.nanodo.data.Position;
import org.nanodo.data.Tokenizer;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFiles;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;

/**
 * A checkpoint's folder: model, tokenizer, {@code optimizer.safetensors} with the moments and the state of LibTorch's
 * random numbers, and this record as {@code run.json}.
 *
 * @param step updates made
 * @param position where the data goes on
 * @param data what the position counts in
 * @param library version of this library that wrote it
 */
record RunState(long step, Position position, DataShape data, String library) {
    private static final String RUN = "run.json";
    private static final String OPTIMIZER = "optimizer.safetensors";
    private static final String RANDOM = "random_state";

    /** All that a data position depends on. */
    record DataShape(String fingerprint, int length, int batch, long epochs, boolean shuffles, long seed) {
        static DataShape of(PackedDataset data) throws IOException {
            return new DataShape(
                    data.mixture().fingerprint(),
                    data.length(),
                    data.batch(),
                    data.epochs(),
                    data.shuffles(),
                    data.seed());
        }
    }

    static RunState of(long step, Position position, DataShape data) throws IOException {
        try (var version = RunState.class.getResourceAsStream("version.txt")) {
            return new RunState(
                    step, position, data, new String(version.readAllBytes(), StandardCharsets.UTF_8).strip());
        }
    }

    Contents contents(LanguageModel model, Tokenizer tokenizer, Map<String, Tensor> optimizer) {
        var tensors = new LinkedHashMap<>(optimizer);
        tensors.put(RANDOM, torch.getDefaultCPUGenerator().get_state());
        return ModelFiles.contents(model, tokenizer).json(RUN, this).tensors(OPTIMIZER, tensors);
    }

    /** Reads a checkpoint over a model and an optimizer's state. */
    static RunState read(
            Path directory, LanguageModel model, DataShape data, Tokenizer tokenizer, Map<String, Tensor> optimizer)
            throws IOException {
        RunState state = Json.read(directory.resolve(RUN), RunState.class);
        if (!state.data.equals(data)) {
            throw new IllegalArgumentException(directory + " was trained on other data, " + state.data + ", this is "
                    + data + ": to go on from its parameters alone, use DecoderModel.load");
        }
        if (!ModelFiles.tokenizerSpec(directory).equals(tokenizer.spec())) {
            throw new IllegalArgumentException(directory + " was trained with another tokenizer than this run's");
        }
        ModelFiles.checkSizes(model, directory);
        try (var file = Safetensors.open(directory.resolve(OPTIMIZER));
                var scope = Scope.open()) {
            for (var tensor : optimizer.entrySet()) {
                file.require(tensor.getKey(), tensor.getValue()); // all of them, before any is read
            }
            ModelFiles.loadInto(model, directory);
            for (var tensor : optimizer.entrySet()) {
                file.readInto(tensor.getKey(), tensor.getValue());
            }
            Generator random = torch.getDefaultCPUGenerator();
            random.set_state(file.read(RANDOM, Device.cpu()));
        }
        return state;
    }
}
