package org.nanodo.runtime;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A record of the times of operations, for viewers of Chrome's trace events such as ui.perfetto.dev. Thread-safe. */
public final class Timeline {
    /** Records nothing. */
    public static final Timeline NONE = new Timeline(-1);

    /** An operation with its times by {@link System#nanoTime}, on a track whose operations do not overlap. */
    public record Span(String track, String name, long startNanos, long endNanos) {}

    private final int process;
    private final List<Span> spans = new ArrayList<>();

    private Timeline(int process) {
        this.process = process;
    }

    /** @param rank distinguishes the timelines of several ranks in a viewer */
    public static Timeline of(int rank) {
        return new Timeline(rank);
    }

    /** Records an operation that started at {@code startNanos} and has just ended. */
    public synchronized void span(String track, String name, long startNanos) {
        if (this != NONE) {
            spans.add(new Span(track, name, startNanos, System.nanoTime()));
        }
    }

    public synchronized List<Span> spans() {
        return List.copyOf(spans);
    }

    /** A complete event, with its times in microseconds. */
    private record Event(String ph, int pid, String tid, String name, double ts, double dur) {}

    public void write(Path file) throws IOException {
        List<Event> events = spans().stream()
                .map(span -> new Event(
                        "X",
                        process,
                        span.track,
                        span.name,
                        span.startNanos / 1e3,
                        (span.endNanos - span.startNanos) / 1e3))
                .toList();
        new ObjectMapper().writeValue(file.toFile(), events);
    }
}
