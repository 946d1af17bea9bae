package org.nanodo.runtime;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What ran when, in the format of Chrome's trace events, which chrome://tracing and ui.perfetto.dev show. For any thread. */
public final class Timeline {
    /** Records nothing. */
    public static final Timeline NONE = new Timeline(-1);

    /** Something that ran, in the time of {@link System#nanoTime}, on a track where one thing runs at a time. */
    public record Span(String track, String name, long startNanos, long endNanos) {}

    private final int process;
    private final List<Span> spans = new ArrayList<>();

    private Timeline(int process) {
        this.process = process;
    }

    /** @param rank tells the timelines of several ranks apart where a viewer shows them together */
    public static Timeline of(int rank) {
        return new Timeline(rank);
    }

    /** Records what began at {@code startNanos} and has ended now. */
    public synchronized void span(String track, String name, long startNanos) {
        if (this != NONE) {
            spans.add(new Span(track, name, startNanos, System.nanoTime()));
        }
    }

    public synchronized List<Span> spans() {
        return List.copyOf(spans);
    }

    public void write(Path file) throws IOException {
        var events = new ArrayList<Map<String, Object>>();
        for (Span span : spans()) {
            events.add(Map.of(
                    "ph",
                    "X", // a complete event
                    "pid",
                    process,
                    "tid",
                    span.track,
                    "name",
                    span.name,
                    "ts",
                    span.startNanos / 1e3,
                    "dur",
                    (span.endNanos - span.startNanos) / 1e3));
        }
        new ObjectMapper().writeValue(file.toFile(), events);
    }
}
