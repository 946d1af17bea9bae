package org.nanodo.config;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.exc.InvalidFormatException;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;
import com.fasterxml.jackson.databind.exc.ValueInstantiationException;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import org.nanodo.files.Json;
import org.nanodo.files.OptionalLibrary;

/**
 * Reads a {@link TrainConfig}: the defaults, which are in {@code default.json}, then a file that contains only what differs,
 * then overrides such as {@code opt.peak_learning_rate=0.003}. Unknown keys are errors that name the nearest known key.
 */
public final class ConfigReader {
    private static final ObjectMapper mapper = Json.strict()
            .propertyNamingStrategy(new PropertyNamingStrategies.SnakeCaseStrategy())
            .build();
    private static final ConfigKeys keys = new ConfigKeys(mapper);

    private ConfigReader() {}

    /**
     * Returns the defaults with the given overrides.
     *
     * @param overrides each {@code path.to.key=value}. The value is JSON or, if it is not, a string. For a key whose value is a
     *     string, it is always a string, even {@code 1e3} or {@code 007}, except for {@code null} and a value in double quotes,
     *     which are JSON
     */
    public static TrainConfig of(String... overrides) {
        return config(defaults(), "a config", overrides);
    }

    /**
     * Reads a file and applies overrides to it.
     *
     * @param file JSON, or YAML if its name ends so
     * @throws NoSuchFileException if the file does not exist
     * @throws IllegalArgumentException if a key is unknown or a value has the wrong type
     */
    public static TrainConfig read(Path file, String... overrides) throws IOException {
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file + " does not exist");
        }
        if (Files.isDirectory(file)) {
            throw new IllegalArgumentException(file + " is a directory: name the config file in it");
        }
        JsonNode tree;
        try {
            tree = parser(file).readTree(Json.text(file));
        } catch (JsonProcessingException e) {
            String line =
                    e.getLocation() == null ? "" : " at line " + e.getLocation().getLineNr();
            throw new IllegalArgumentException(file + " cannot be parsed" + line + ": " + e.getOriginalMessage(), e);
        }
        if (!(tree instanceof ObjectNode object)) {
            throw new IllegalArgumentException(file + " is not a tree of keys and values");
        }
        ObjectNode merged = defaults();
        merge(merged, object);
        return config(merged, file + (overrides.length == 0 ? "" : " or --set"), overrides);
    }

    static String write(TrainConfig config) {
        return mapper.valueToTree(config).toPrettyString();
    }

    private static ObjectMapper parser(Path file) {
        String name = file.getFileName().toString();
        if (!name.endsWith(".yaml") && !name.endsWith(".yml")) {
            return mapper;
        }
        OptionalLibrary.YAML.require();
        return Yaml.parser();
    }

    private static ObjectNode defaults() {
        try (var resource = ConfigReader.class.getResourceAsStream("default.json")) {
            return mapper.readValue(resource, ObjectNode.class);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void merge(ObjectNode into, ObjectNode from) {
        from.properties().forEach(field -> {
            if (into.get(field.getKey()) instanceof ObjectNode below && field.getValue() instanceof ObjectNode object) {
                merge(below, object);
            } else {
                into.set(field.getKey(), field.getValue());
            }
        });
    }

    private static TrainConfig config(ObjectNode tree, String origin, String... overrides) {
        for (String override : overrides) {
            set(tree, override);
        }
        keys.check(tree, defaults(), origin);
        try {
            return mapper.treeToValue(tree, TrainConfig.class);
        } catch (ValueInstantiationException e) { // thrown by the constructor of a record
            throw new IllegalArgumentException(
                    "In " + origin + ", " + e.getCause().getMessage(), e);
        } catch (JsonMappingException e) {
            throw new IllegalArgumentException("\"" + path(e) + "\" does not fit in " + origin + ": " + reason(e), e);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("A tree has no syntax", e);
        }
    }

    private static void set(ObjectNode tree, String override) {
        int equals = override.indexOf('=');
        if (equals <= 0) {
            throw new IllegalArgumentException("\"" + override + "\" sets nothing: write path.to.key=value");
        }
        String[] path = override.substring(0, equals).split("\\.", -1);
        if (List.of(path).contains("")) {
            throw new IllegalArgumentException("\"" + override + "\" has an empty key: write path.to.key=value");
        }
        ObjectNode at = tree;
        for (int i = 0; i < path.length - 1; i++) {
            JsonNode below = at.get(path[i]);
            if (below == null) {
                below = at.putObject(path[i]);
            }
            if (!(below instanceof ObjectNode object)) {
                throw new IllegalArgumentException("In \"" + override + "\", " + path[i] + " has no keys below it");
            }
            at = object;
        }
        String text = override.substring(equals + 1);
        JsonNode value = value(text);
        boolean isText = (value.isNumber() || value.isBoolean()) && keys.takesText(path);
        at.set(path[path.length - 1], isText ? new TextNode(text) : value);
    }

    private static JsonNode value(String text) {
        try (JsonParser parser = mapper.createParser(text)) {
            JsonNode value = mapper.readTree(parser);
            return value != null && parser.nextToken() == null ? value : new TextNode(text);
        } catch (IOException e) {
            return new TextNode(text);
        }
    }

    private static String path(JsonMappingException e) {
        var path = new StringBuilder();
        for (var at : e.getPath()) {
            if (at.getFieldName() == null) {
                path.append('[').append(at.getIndex()).append(']');
            } else {
                path.append(path.length() == 0 ? "" : ".").append(at.getFieldName());
            }
        }
        return path.toString();
    }

    private static String reason(JsonMappingException e) {
        if (!(e instanceof MismatchedInputException mismatch) || mismatch.getTargetType() == null) {
            return e.getOriginalMessage(); // a number out of range
        }
        Class<?> type = mismatch.getTargetType();
        if (type.isEnum()) {
            var values = Arrays.stream(type.getEnumConstants())
                    .map(value -> mapper.convertValue(value, String.class))
                    .toList();
            return e instanceof InvalidFormatException format
                    ? "\"" + format.getValue() + "\" is none of " + values
                    : "it must be one of " + values;
        } else if (Collection.class.isAssignableFrom(type)) {
            return "it must be a list, as in [\"a\", \"b\"]";
        } else if (type == int.class || type == Integer.class || type == long.class || type == Long.class) {
            return "it must be a whole number";
        } else if (type == double.class || type == Double.class) {
            return "it must be a number";
        } else if (type == boolean.class || type == Boolean.class) {
            return "it must be true or false";
        } else if (type == String.class) {
            return "it must be a string, in quotes";
        }
        return "it must have keys and values, as in {\"a\": 1}";
    }
}
