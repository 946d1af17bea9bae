package org.nanodo.config;

import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;

/** The keys of a config, which are the components of {@link TrainConfig} and of the records in it. */
final class ConfigKeys {
    private final ObjectMapper mapper;
    private final JavaType root;

    ConfigKeys(ObjectMapper mapper) {
        this.mapper = mapper;
        this.root = mapper.constructType(TrainConfig.class);
    }

    /** Returns whether the value of this key is a string. */
    boolean takesText(String... path) {
        JavaType type = root;
        for (String key : path) {
            type = type.isMapLikeType() ? type.getContentType() : keys(type).get(key);
            if (type == null) {
                return false;
            }
        }
        return type.hasRawClass(String.class);
    }

    /**
     * Checks everything but the types of the values.
     *
     * @throws IllegalArgumentException if a key is unknown, or a value is null whose default is not
     */
    void check(JsonNode config, JsonNode defaults, String origin) {
        check("", config, root, defaults, origin);
    }

    private void check(String path, JsonNode value, JavaType type, JsonNode defaults, String origin) {
        if (value.isObject() && type.isRecordType()) {
            value.properties().forEach(field -> {
                String name = field.getKey();
                JavaType fieldType = keys(type).get(name);
                if (fieldType == null) {
                    throw new IllegalArgumentException("There is no key \"" + join(path, name) + "\" in " + origin
                            + ": " + nearest(path, name, keys(type)));
                }
                JsonNode otherwise = defaults.path(name);
                if (field.getValue().isNull() && !otherwise.isNull() && !otherwise.isMissingNode()) {
                    throw new IllegalArgumentException(
                            "In " + origin + ", \"" + join(path, name) + "\" is null: leave it out for the default");
                }
                check(join(path, name), field.getValue(), fieldType, otherwise, origin);
            });
        } else if (value.isObject() && type.isMapLikeType()) {
            value.properties().forEach(entry -> checkEntry(join(path, entry.getKey()), entry.getValue(), type, origin));
        } else if (value.isArray() && type.isCollectionLikeType()) {
            for (int i = 0; i < value.size(); i++) {
                checkEntry(path + "[" + i + "]", value.get(i), type, origin);
            }
        }
    }

    private void checkEntry(String path, JsonNode value, JavaType container, String origin) {
        if (value.isNull() && !container.getContentType().isJavaLangObject()) {
            throw new IllegalArgumentException("In " + origin + ", " + path + " is null: leave it out");
        }
        check(path, value, container.getContentType(), MissingNode.getInstance(), origin);
    }

    /** Returns the keys of a record in their order. */
    private Map<String, JavaType> keys(JavaType type) {
        var keys = new LinkedHashMap<String, JavaType>();
        if (type.isRecordType()) {
            mapper.getSerializationConfig()
                    .introspect(type)
                    .findProperties()
                    .forEach(property -> keys.put(property.getName(), property.getPrimaryType()));
        }
        return keys;
    }

    /** Suggests the key that is spelt most alike, or the same key in another place, or else lists all keys. */
    private String nearest(String path, String name, Map<String, JavaType> known) {
        String nearest = known.keySet().stream()
                .min(Comparator.comparingInt(key -> edits(name, key)))
                .orElseThrow();
        if (edits(name, nearest) <= Math.max(2, name.length()) / 2) {
            return "did you mean \"" + join(path, nearest) + "\"?";
        }
        return keys(root).entrySet().stream()
                .flatMap(key -> Stream.concat(
                        Stream.of(key.getKey()),
                        keys(key.getValue()).keySet().stream().map(below -> join(key.getKey(), below))))
                .filter(key -> key.substring(key.indexOf('.') + 1).equalsIgnoreCase(name))
                .findFirst()
                .map(key -> "did you mean \"" + key + "\"?")
                .orElse("there are " + known.keySet());
    }

    private static String join(String path, String key) {
        return path.isEmpty() ? key : path + "." + key;
    }

    /** Returns how many letters must be inserted, deleted or changed, ignoring case (Levenshtein 1966). */
    private static int edits(String one, String other) {
        String from = one.toLowerCase(Locale.ROOT);
        String to = other.toLowerCase(Locale.ROOT);
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
