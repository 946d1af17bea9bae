package org.nanodo.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.checkpoint.CheckpointStore;
import org.nanodo.checkpoint.Contents;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.checkpoint.Slice;
import org.nanodo.checkpoint.TensorSet;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Json;
import org.nanodo.files.Manifest;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.tokenizer.Tokenizer;

/**
 * Saved models: directories with {@code config.json} and the {@link TensorSet} {@code model}, and in checkpoints {@code
 * tokenizer.json}.
 */
public final class ModelFiles {
    private static final String CONFIG = "config.json";
    public static final String TENSORS = "model";
    private static final String TOKENIZER = "tokenizer.json";

    private ModelFiles() {}

    static void save(LanguageModel model, Path directory) throws IOException {
        try (var use = ModelUse.inference(model.parameters());
                var scope = Scope.open()) {
            AtomicDirectory.create(directory, add(new Contents(), model, model.parameters()));
        }
    }

    /** Adds a model, or a rank's part of its parameters. */
    private static Contents add(Contents contents, LanguageModel model, List<Parameter> parameters) {
        var slices = new LinkedHashMap<String, Slice>();
        parameters.forEach(parameter -> slices.put(parameter.name(), parameter.slice()));
        return contents.json(CONFIG, model.spec().json()).tensors(TENSORS, slices);
    }

    /** Adds a model, or a rank's part of its parameters, and its tokenizer. */
    public static Contents add(
            Contents contents, LanguageModel model, List<Parameter> parameters, Tokenizer tokenizer) {
        return add(contents, model, parameters).json(TOKENIZER, tokenizer.spec());
    }

    /** Returns the tokenizer with which a checkpoint's model was trained. */
    public static Tokenizer tokenizer(Path directory) throws IOException {
        return Tokenizer.of(tokenizerSpec(directory));
    }

    /** Returns whether a saved model was trained with a tokenizer like this one; true if no tokenizer was saved. */
    public static boolean hasTokenizer(Path directory, Tokenizer tokenizer) throws IOException {
        return !Manifest.names(directory).contains(TOKENIZER) || tokenizer.matches(tokenizerSpec(directory));
    }

    /**
     * Returns the description of that tokenizer, which may be of a kind that this library does not know.
     *
     * @throws NoSuchFileException if no tokenizer was saved: only checkpoints have one
     */
    public static Map<String, String> tokenizerSpec(Path directory) throws IOException {
        if (!Manifest.names(directory).contains(TOKENIZER)) {
            throw new NoSuchFileException(
                    directory + " has no " + TOKENIZER + ", which only checkpoints have, not models saved alone");
        }
        Manifest.verify(directory, Set.of(TOKENIZER));
        return Json.readStrings(directory.resolve(TOKENIZER));
    }

    /** @throws IllegalArgumentException if the model has another type */
    static <M extends LanguageModel> M load(Path directory, Device device, Class<M> type) throws IOException {
        ModelSpec spec = spec(directory);
        Manifest.verify(directory, Set.of(CONFIG));
        Manifest.verify(directory, TensorSet.files(directory, TENSORS));
        try (var tensors = TensorSet.open(directory, TENSORS)) {
            checkBlocks(spec, directory, tensors.names().size());
            return build(source -> create(spec, directory, device, source, type), (name, shape) -> {
                checkShape(tensors.shape(name), directory, name, shape);
                return tensors.read(name, device);
            });
        }
    }

    /** Checks, before any parameter is created, that every block has a tensor. The rest is checked tensor by tensor. */
    private static void checkBlocks(ModelSpec spec, Path directory, int tensors) throws CorruptFileException {
        long blocks = spec.json().findValues("N").stream()
                .mapToLong(JsonNode::asLong)
                .max()
                .orElse(0);
        if (blocks > tensors) {
            throw new CorruptFileException(
                    directory.resolve(CONFIG),
                    "requires N=" + blocks + " blocks, but there are " + tensors + " tensors");
        }
    }

    private static <M extends LanguageModel> M create(
            ModelSpec spec, Path directory, Device device, Init.Source source, Class<M> type) {
        LanguageModel model;
        try {
            model = spec.create(device, source);
        } catch (IllegalArgumentException e) {
            throw new UncheckedIOException(new CorruptFileException(directory.resolve(CONFIG), e.getMessage(), e));
        }
        if (!type.isInstance(model)) {
            throw new IllegalArgumentException(directory + " holds a model of the kind \"" + spec.model() + "\", not a "
                    + type.getSimpleName() + ": use LanguageModel.load");
        }
        return type.cast(model);
    }

    /** @throws IllegalArgumentException if a saved model has other sizes than this one */
    public static void checkSizes(LanguageModel model, Path directory) throws IOException {
        ObjectNode saved = spec(directory).sizes();
        ObjectNode own = model.spec().sizes();
        if (!saved.equals(own)) {
            throw new IllegalArgumentException(
                    directory + " holds a model of another config: " + saved + ", this one is " + own);
        }
    }

    /** Reads saved parameters into all parameters of a model of the same sizes, or into a rank's part of them. */
    public static void loadInto(LanguageModel model, List<Parameter> parameters, Path directory) throws IOException {
        checkSizes(model, directory);
        try (var use = ModelUse.training(parameters);
                var scope = Scope.open();
                var tensors = TensorSet.open(directory, TENSORS)) {
            for (Parameter parameter : parameters) {
                tensors.require(parameter.name(), parameter.slice()); // checks all of them before any is read
            }
            for (Parameter parameter : parameters) {
                tensors.readInto(parameter.name(), parameter.slice());
            }
        }
    }

    /**
     * Creates a model from a file whose tensors may have other names.
     *
     * @param create creates the model without using its parameters yet
     * @param theirName returns a parameter's name in the file
     */
    public static <M extends LanguageModel> M load(
            Safetensors file,
            Path path,
            Function<Init.Source, M> create,
            Device device,
            UnaryOperator<String> theirName)
            throws IOException {
        return build(create, (name, shape) -> {
            String theirs = theirName.apply(name);
            checkShape(file.shape(theirs), path, theirs, shape);
            return file.read(theirs, device);
        });
    }

    /** Reads a parameter's values. */
    private interface Reader {
        Tensor read(String name, long[] shape) throws IOException;
    }

    private static <M extends LanguageModel> M build(Function<Init.Source, M> create, Reader reader)
            throws IOException {
        try {
            M model = create.apply((name, init, shape) -> {
                try (var scope = Scope.open()) {
                    return Scope.keep(reader.read(name, shape).to(ScalarType.Float));
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
            model.parameters().forEach(Parameter::tensor); // while the file is open
            return model;
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private static void checkShape(long[] shape, Path path, String name, long[] required) throws CorruptFileException {
        if (!Arrays.equals(shape, required)) {
            throw new CorruptFileException(
                    path,
                    "tensor \"" + name + "\" is " + Arrays.toString(shape) + ", the config requires "
                            + Arrays.toString(required));
        }
    }

    /**
     * Returns the directory of a saved model: this one, verified if it has a manifest, or that of a run's newest checkpoint.
     *
     * @throws NoSuchFileException if there is no model
     */
    public static Path find(Path directory) throws IOException {
        if (!Manifest.isIn(directory) && Files.exists(directory.resolve(CONFIG))) {
            return directory;
        }
        return CheckpointStore.find(directory);
    }

    /** @throws NoSuchFileException if the directory does not contain a model */
    private static ModelSpec spec(Path directory) throws IOException {
        if (!Files.exists(directory)) {
            throw new NoSuchFileException(directory + " does not exist");
        }
        if (!Manifest.names(directory).contains(CONFIG)) {
            throw new NoSuchFileException(directory + " is not a saved model: it has no " + CONFIG
                    + ". CheckpointStore.find returns a run's newest checkpoint");
        }
        return ModelSpec.read(directory.resolve(CONFIG));
    }
}
