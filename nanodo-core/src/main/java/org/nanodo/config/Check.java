package org.nanodo.config;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Values of a config, by their keys. */
final class Check {
    private Check() {}

    /** @throws IllegalArgumentException if one of the values, which follow their keys, is null */
    static void given(Object... keysAndValues) {
        for (int i = 0; i < keysAndValues.length; i += 2) {
            if (keysAndValues[i + 1] == null) {
                throw new IllegalArgumentException(
                        "\"" + keysAndValues[i] + "\" is null: leave it out for the default");
            }
        }
    }

    /** Not the current directory by accident. @throws IllegalArgumentException if a text is empty */
    static void notEmpty(String key, String value) {
        that(value == null || !value.isBlank(), key + " is empty: name a path, \".\" is the current directory");
    }

    /** @throws IllegalArgumentException if there is a null in a list */
    static void noNulls(String key, List<?> values) {
        int at = new ArrayList<>(values).indexOf(null);
        that(at < 0, key + "[" + at + "] is null: every entry of the list needs a value");
    }

    /** @throws IllegalArgumentException if a value is null */
    static void noNulls(String key, Map<?, ?> values) {
        values.forEach((name, value) -> that(value != null, key + "." + name + " is null: leave it out"));
    }

    static void positive(String key, long value) {
        that(value > 0, key + " is " + value + ", it must be positive");
    }

    static void notNegative(String key, double value) {
        that(
                value >= 0 && value < Double.POSITIVE_INFINITY,
                key + " is " + value + ", it has to be 0 or more, and finite");
    }

    static void that(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
