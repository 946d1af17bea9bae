package org.nanodo.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.checkpoint.AtomicDirectory;
import org.nanodo.checkpoint.CorruptFileException;
import org.nanodo.checkpoint.Json;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.data.Tokenizer;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;

/**
 * A model on disk: a folder with {@code config.json} and {@code model.safetensors}, in a checkpoint also
 * {@code tokenizer.json}.
 */
public final class ModelFiles {
    private static final String CONFIG = "config.json";
    private static final String PARAMETERS = "model.safetensors";
    private static final String TOKENIZER = "tokenizer.json";

    private ModelFiles() {}

    static void save(DecoderModel model, Path directory) throws IOException {
        AtomicDirectory.create(directory, unfinished -> write(model, unfinished));
    }

    /** Writes both files into an existing folder. */
    public static void write(LanguageModel model, Path directory) throws IOException {
        Json.write(directory.resolve(CONFIG), model.config());
        var tensors = new LinkedHashMap<String, Tensor>();
        model.parameters().forEach(parameter -> tensors.put(parameter.name(), parameter.tensor()));
        Safetensors.write(directory.resolve(PARAMETERS), tensors, Map.of());
    }

    /** Writes what {@link #tokenizer} reads. */
    public static void write(Tokenizer tokenizer, Path directory) throws IOException {
        Json.write(directory.resolve(TOKENIZER), tokenizer.spec());
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
        TransformerConfig config = config(directory);
        try (var file = Safetensors.open(directory.resolve(PARAMETERS))) {
            return load(file, directory.resolve(PARAMETERS), config, device, UnaryOperator.identity());
        }
    }

    /** Reads the parameters over those of a model of the same config. */
    public static void loadInto(LanguageModel model, Path directory) throws IOException {
        TransformerConfig config = config(directory);
        TransformerConfig own = model.config();
        if (!sizes(config).equals(sizes(own))) {
            throw new IllegalArgumentException(
                    directory + " holds a model of another config: " + sizes(config) + ", this one is " + sizes(own));
        }
        try (var file = Safetensors.open(directory.resolve(PARAMETERS))) {
            for (Parameter parameter : model.parameters()) {
                file.readInto(parameter.name(), parameter.tensor());
            }
        }
    }

    /** Builds a model from a file whose tensors may have other names than ours. */
    static DecoderModel load(
            Safetensors file, Path path, TransformerConfig config, Device device, UnaryOperator<String> theirName)
            throws IOException {
        Set<String> names = file.names();
        try {
            var model = new DecoderModel(config, device, (name, init, shape) -> {
                try (var scope = Scope.open()) {
                    String theirs = theirName.apply(name);
                    if (names.contains(theirs) && !Arrays.equals(file.shape(theirs), shape)) {
                        throw new CorruptFileException(
                                path,
                                "tensor \"" + theirs + "\" is " + Arrays.toString(file.shape(theirs))
                                        + ", the config wants " + Arrays.toString(shape));
                    }
                    return Scope.keep(file.read(theirs, device).to(ScalarType.Float));
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

    private static TransformerConfig config(Path directory) throws IOException {
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
