package org.nanodo.config;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.exc.InvalidFormatException;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import com.fasterxml.jackson.databind.exc.ValueInstantiationException;
import com.fasterxml.jackson.databind.introspect.BeanPropertyDefinition;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import org.nanodo.files.Json;
import org.nanodo.files.OptionalLibrary;

/**
 * Makes a {@link TrainConfig} of the defaults, a file that says only what is different, and overrides such as
 * {@code opt.peak_learning_rate=0.003}, in this order. Unknown keys are errors, and name the nearest known one.
 */
public final class ConfigReader {
    private static final ObjectMapper mapper = Json.strict()
            .propertyNamingStrategy(new PropertyNamingStrategies.SnakeCaseStrategy())
            .build();

    private ConfigReader() {}

    /**
     * @param overrides each {@code path.to.key=value}, where the value is JSON or, if it is not, a string. Of a key that
     *     takes a string it is the string as it stands, {@code 1e3} or {@code 007}, but for {@code null} and what is in
     *     double quotes, which are JSON there, too
     */
    public static TrainConfig of(String... overrides) {
        return config(defaults(), "a config", overrides);
    }

    /**
     * @param file JSON, or YAML by its ending
     * @throws NoSuchFileException if there is no such file
     * @throws IllegalArgumentException if a key is unknown or a value of another type
     */
    public static TrainConfig read(Path file, String... overrides) throws IOException {
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file + " does not exist");
        }
        if (Files.isDirectory(file)) {
            throw new IllegalArgumentException(file + " is a directory: name the file of the config in it");
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
        try {
            return mapper.writeValueAsString(config);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This config has no JSON form", e);
        }
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
        return mapper.valueToTree(TrainConfig.defaults());
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
        try {
            return mapper.treeToValue(tree, TrainConfig.class);
        } catch (UnrecognizedPropertyException e) {
            throw new IllegalArgumentException(
                    "There is no key \"" + path(e) + "\" in " + origin + ": "
                            + nearest(e.getPropertyName(), e.getKnownPropertyIds()),
                    e);
        } catch (ValueInstantiationException e) {
            throw new IllegalArgumentException(
                    "In " + origin + ", " + e.getCause().getMessage(), e);
        } catch (JsonMappingException e) {
            throw new IllegalArgumentException("\"" + path(e) + "\" does not fit in " + origin + ": " + reason(e), e);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is no config: " + e.getOriginalMessage(), e);
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
        boolean asItStands = (value.isNumber() || value.isBoolean()) && takesText(path);
        at.set(path[path.length - 1], asItStands ? new TextNode(text) : value);
    }

    private static boolean takesText(String[] path) {
        JavaType type = mapper.constructType(TrainConfig.class);
        for (String key : path) {
            if (type.isMapLikeType()) {
                type = type.getContentType();
                continue;
            }
            JavaType record = type;
            type = mapper.getSerializationConfig().introspect(record).findProperties().stream()
                    .filter(property -> property.getName().equals(key))
                    .map(BeanPropertyDefinition::getPrimaryType)
                    .findFirst()
                    .orElse(record);
        }
        return type.hasRawClass(String.class);
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
        return e.getPath().stream()
                .map(at -> at.getFieldName() == null ? "" + at.getIndex() : at.getFieldName())
                .collect(Collectors.joining("."));
    }

    private static String reason(JsonMappingException e) {
        if (e instanceof InvalidFormatException format && format.getTargetType().isEnum()) {
            return "\"" + format.getValue() + "\" is none of "
                    + Arrays.stream(format.getTargetType().getEnumConstants())
                            .map(value -> mapper.convertValue(value, String.class))
                            .toList();
        }
        if (e instanceof MismatchedInputException mismatch && wanted(mismatch.getTargetType()) != null) {
            return "it has to be " + wanted(mismatch.getTargetType());
        }
        return e.getOriginalMessage().replaceFirst(" \\((but might|set Deserialization|index) .*", "");
    }

    private static String wanted(Class<?> type) {
        if (type == null) {
            return null;
        } else if (Collection.class.isAssignableFrom(type)) {
            return "a list, as in [\"a\", \"b\"]";
        } else if (type == int.class || type == Integer.class || type == long.class || type == Long.class) {
            return "a whole number";
        } else if (type == double.class || type == Double.class) {
            return "a number";
        } else if (type == boolean.class || type == Boolean.class) {
            return "true or false";
        } else if (type == String.class) {
            return "a string, in quotes";
        }
        return null;
    }

    /** One that is spelt almost alike, or else all. */
    private static String nearest(String name, Collection<Object> known) {
        String lower = name.toLowerCase(Locale.ROOT);
        String nearest = known.stream()
                .map(String::valueOf)
                .min(Comparator.comparingInt(key -> edits(lower, key.toLowerCase(Locale.ROOT))))
                .orElse("");
        boolean alike = edits(lower, nearest.toLowerCase(Locale.ROOT)) <= Math.max(2, name.length()) / 2;
        return alike ? "did you mean \"" + nearest + "\"?" : "there are " + known;
    }

    /** How many letters have to be put in, taken out or changed (Levenshtein 1966). */
    private static int edits(String from, String to) {
        int[] previous = new int[to.length() + 1];
        for (int j = 0; j <= to.length(); j++) {
            previous[j] = j;
        }
        for (int i = 1; i <= from.length(); i++) {
            int[] row = new int[to.length() + 1];
            row[0] = i;
            for (int j = 1; j <= to.length(); j++) {
                int change = from.charAt(i - 1) == to.charAt(j - 1) ? 0 : 1;
                row[j] = Math.min(previous[j - 1] + change, 1 + Math.min(previous[j], row[j - 1]));
            }
            previous = row;
        }
        return previous[to.length()];
    }
}
