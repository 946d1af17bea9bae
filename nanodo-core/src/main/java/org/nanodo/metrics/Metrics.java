package org.nanodo.metrics;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.stream.Collectors;

/** The metrics of a step by their names in NanoDO, such as {@code train_loss} and {@code eval_loss}. */
public record Metrics(long step, Map<String, Double> values) {
    private static final Set<String> SPEED = Set.of("steps_per_sec", "tokens_per_sec", "mfu", "uptime");

    public Metrics {
        values = Collections.unmodifiableMap(new LinkedHashMap<>(values));
    }

    public boolean has(String name) {
        return values.containsKey(name);
    }

    /** Returns these metrics without those that differ between two runs of the same steps. */
    public Metrics withoutSpeed() {
        var others = new LinkedHashMap<>(values);
        others.keySet().removeIf(name -> name.startsWith("seconds/") || SPEED.contains(name));
        return new Metrics(step, others);
    }

    /** @throws NoSuchElementException if there is no such metric, see {@link #has} */
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
