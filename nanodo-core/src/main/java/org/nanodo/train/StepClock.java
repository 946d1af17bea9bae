package org.nanodo.train;

import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * Splits the time of a step among its phases, as the host sees it: on an asynchronous device, the time counts for the phase that
 * waits. Each lap costs about 30 ns.
 */
public final class StepClock {
    public enum Phase {
        DATA,
        FORWARD,
        BACKWARD,
        OPTIMIZER,
        REPORT
    }

    private final Map<Phase, Long> nanos = new EnumMap<>(Phase.class);
    private long last = System.nanoTime();

    /** Starts a lap, without counting the time since the last one for any phase. */
    public void skip() {
        last = System.nanoTime();
    }

    /** Counts the time since the last lap for this phase and starts the next. */
    public void lap(Phase phase) {
        long now = System.nanoTime();
        nanos.merge(phase, now - last, Long::sum);
        last = now;
    }

    /** Returns the seconds of each phase since the last call, by names such as {@code seconds/forward}. */
    Map<String, Double> read() {
        var seconds = new LinkedHashMap<String, Double>();
        nanos.forEach((phase, value) -> seconds.put("seconds/" + phase.name().toLowerCase(Locale.ROOT), value / 1e9));
        nanos.clear();
        return seconds;
    }
}
