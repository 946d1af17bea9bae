package org.nanodo.config;

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

    static void positive(String key, long value) {
        that(value > 0, key + " is " + value + ", it has to be positive");
    }

    static void that(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
