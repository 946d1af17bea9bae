package org.nanodo.train;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/** What was measured after so many steps, by name: {@code train_loss}, {@code eval_loss} and so on, as in NanoDO. */
public record Metrics(long step, Map<String, Double> values) {
    public Metrics {
        values = Collections.unmodifiableMap(new LinkedHashMap<>(values));
    }

    public boolean has(String name) {
        return values.containsKey(name);
    }

    Metrics without(Predicate<String> names) {
        var others = new LinkedHashMap<>(values);
        others.keySet().removeIf(names);
        return new Metrics(step, others);
    }

    /** @throws NoSuchElementException if there is no such value; {@link #has} tells */
    public double get(String name) {
        Double value = values.get(name);
        if (value == null) {
            throw new NoSuchElementException(
                    "No metric \"" + name + "\" at step " + step + ", only " + values.keySet());
        }
        return value;
    }

    @Override
    public String toString() {
        return "step " + step + "  "
                + values.entrySet().stream()
                        .map(value -> String.format(Locale.ROOT, "%s %.5g", value.getKey(), value.getValue()))
                        .collect(Collectors.joining("  "));
    }
}
