package org.nanodo.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.checkpoint.AtomicDirectory;
import org.nanodo.checkpoint.Contents;
import org.nanodo.checkpoint.CorruptFileException;
import org.nanodo.checkpoint.Json;
import org.nanodo.checkpoint.Manifest;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.checkpoint.Slice;
import org.nanodo.checkpoint.TensorSet;
import org.nanodo.data.Tokenizer;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;

/**
 * A model on disk: a folder with {@code config.json} and the {@link TensorSet} {@code model}, in a checkpoint also
 * {@code tokenizer.json}.
 */
public final class ModelFiles {
    private static final String CONFIG = "config.json";
    static final String TENSORS = "model";
    private static final String TOKENIZER = "tokenizer.json";

    private ModelFiles() {}

    static void save(DecoderModel model, Path directory) throws IOException {
        AtomicDirectory.create(directory, add(new Contents(), model, model.parameters()));
    }

    /** What a folder has to hold of a model, whose parameters may be those of one rank. */
    private static Contents add(Contents contents, LanguageModel model, List<Parameter> parameters) {
        var slices = new LinkedHashMap<String, Slice>();
        parameters.forEach(parameter -> slices.put(parameter.name(), parameter.slice()));
        return contents.json(CONFIG, model.config()).tensors(TENSORS, slices);
    }

    /** The same, and what {@link #tokenizer} reads. */
    public static Contents add(
            Contents contents, LanguageModel model, List<Parameter> parameters, Tokenizer tokenizer) {
        return add(contents, model, parameters).json(TOKENIZER, tokenizer.spec());
    }

    /** The tokenizer that a checkpoint's model was trained with. */
    public static Tokenizer tokenizer(Path directory) throws IOException {
        return Tokenizer.of(tokenizerSpec(directory));
    }

    /** What describes that tokenizer, which may be of a kind that the library does not know. */
    public static Map<String, String> tokenizerSpec(Path directory) throws IOException {
        return Json.readStrings(directory.resolve(TOKENIZER));
    }

    static DecoderModel load(Path directory, Device device) throws IOException {
        Manifest.verifyListed(directory, name -> name.equals(CONFIG) || TensorSet.isFile(TENSORS, name));
        TransformerConfig config = config(directory);
        try (var tensors = TensorSet.open(directory, TENSORS)) {
            return build(config, device, (name, shape) -> {
                checkShape(tensors.shape(name), directory, name, shape);
                return tensors.read(name, device);
            });
        }
    }

    /** @throws IllegalArgumentException if a saved model has other sizes than this one */
    public static void checkSizes(LanguageModel model, Path directory) throws IOException {
        TransformerConfig config = config(directory);
        TransformerConfig own = model.config();
        if (!sizes(config).equals(sizes(own))) {
            throw new IllegalArgumentException(
                    directory + " holds a model of another config: " + sizes(config) + ", this one is " + sizes(own));
        }
    }

    /** Reads the parameters that a rank has, or all, over those of a model of the same sizes. */
    public static void loadInto(LanguageModel model, List<Parameter> parameters, Path directory) throws IOException {
        checkSizes(model, directory);
        try (var tensors = TensorSet.open(directory, TENSORS)) {
            for (Parameter parameter : parameters) {
                tensors.require(parameter.name(), parameter.slice()); // all of them, before any is read
            }
            for (Parameter parameter : parameters) {
                tensors.readInto(parameter.name(), parameter.slice());
            }
        }
    }

    /** Builds a model from a file whose tensors may have other names than ours. */
    static DecoderModel load(
            Safetensors file, Path path, TransformerConfig config, Device device, UnaryOperator<String> theirName)
            throws IOException {
        return build(config, device, (name, shape) -> {
            String theirs = theirName.apply(name);
            checkShape(file.shape(theirs), path, theirs, shape);
            return file.read(theirs, device);
        });
    }

    /** Where a parameter's values come from. */
    interface Source {
        Tensor read(String name, long[] shape) throws IOException;
    }

    static DecoderModel build(TransformerConfig config, Device device, Source source) throws IOException {
        try {
            var model = new DecoderModel(config, device, (name, init, shape) -> {
                try (var scope = Scope.open()) {
                    return Scope.keep(source.read(name, shape).to(ScalarType.Float));
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
            model.parameters().forEach(Parameter::tensor); // now, while the file is open
            return model;
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    static void checkShape(long[] shape, Path path, String name, long[] wanted) throws CorruptFileException {
        if (!Arrays.equals(shape, wanted)) {
            throw new CorruptFileException(
                    path,
                    "tensor \"" + name + "\" is " + Arrays.toString(shape) + ", the config wants "
                            + Arrays.toString(wanted));
        }
    }

    /** @throws NoSuchFileException if the folder holds no model */
    public static TransformerConfig config(Path directory) throws IOException {
        Path file = directory.resolve(CONFIG);
        if (!Files.exists(file)) {
            throw new NoSuchFileException(directory + " is not a saved model: it has no " + CONFIG);
        }
        return Json.read(file, TransformerConfig.class);
    }

    private static String sizes(TransformerConfig c) {
        return "D=%d H=%d L=%d N=%d V=%d F=%d".formatted(c.D(), c.H(), c.L(), c.N(), c.V(), c.F());
    }
}
