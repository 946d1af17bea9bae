package org.nanodo.config;

/** Checks of config values, which throw an {@link IllegalArgumentException} that names the key. */
final class Check {
    private Check() {}

    /** Refuses an empty path, which would silently be the current directory. Null is allowed. */
    static void notEmpty(String key, String value) {
        that(value == null || !value.isBlank(), key + " is empty: name a path, \".\" is the current directory");
    }

    /** Null is allowed. */
    static void positive(String key, Number value) {
        that(value == null || value.longValue() > 0, key + " is " + value + ", it must be positive");
    }

    static void notNegative(String key, double value) {
        that(
                value >= 0 && value < Double.POSITIVE_INFINITY,
                key + " is " + value + ", it must be 0 or more, and finite");
    }

    static void that(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
