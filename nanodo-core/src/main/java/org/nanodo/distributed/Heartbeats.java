package org.nanodo.distributed;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.StringJoiner;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.bytedeco.pytorch.Store;
import org.nanodo.files.DaemonThread;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Scope;

/**
 * Each rank tells the others through the store that it is alive and how many collectives it has begun, so that an error
 * can name the rank that is missing. The store may be gone with its rank, and then never answers: one thread speaks with it, and nobody
 * waits for that thread without a limit.
 */
final class Heartbeats implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofSeconds(5);
    private static final String FAILED = "failed: ";

    private final Store owner; // not to be collected, and its server with it, as long as others need it
    private final Store store;
    private final Arrivals ranks;
    private final int rank;
    private final int world;
    private final Duration interval;
    private final ScheduledExecutorService thread =
            Executors.newSingleThreadScheduledExecutor(task -> DaemonThread.of("nanodo-heartbeats", task));
    private volatile long begun;
    private long beats;
    private boolean failed;

    /** Tells that this rank is there. */
    Heartbeats(Store store, String prefix, int rank, int world, Duration timeout) {
        this.owner = store;
        this.store = Scope.keep(store.clone());
        this.ranks = new Arrivals(this.store, prefix + "/rank/", rank, world);
        this.rank = rank;
        this.world = world;
        this.interval = Duration.ofMillis(Math.max(10, Math.min(1000, timeout.toMillis() / 10)));
        this.store.set(ranks.key(rank), "0 0");
    }

    /** Waits for all ranks, then beats until closed. */
    void start(Duration timeout) {
        ranks.await(timeout, "", "WORLD_SIZE", () -> {});
        thread.scheduleAtFixedRate(
                () -> {
                    if (!failed) {
                        store.set(ranks.key(rank), ++beats + " " + begun);
                    }
                },
                0,
                interval.toMillis(),
                TimeUnit.MILLISECONDS);
    }

    /** Counts a collective, from one thread; returns its number. */
    long begin() {
        return ++begun;
    }

    /** Lets other ranks that wait for this one know why. */
    void failed(String message) {
        try {
            ask(() -> {
                failed = true;
                store.set(ranks.key(rank), FAILED + message);
                return null;
            });
        } catch (TimeoutException | ExecutionException e) {
            // who looks for this rank will find it silent
        }
    }

    /** Which ranks hold up a collective that this rank was the {@code begun}-th to begin. Takes a few beats. */
    String missing(long begun) {
        try {
            List<String> before = ask(this::read);
            sleep(interval.multipliedBy(5));
            List<String> after = ask(this::read);
            var missing = new StringJoiner("; ");
            var failures = new StringJoiner("; ");
            for (int other = 0; other < world; other++) {
                String beat = after.get(other);
                if (other == rank) {
                    continue;
                }
                if (beat.startsWith(FAILED)) {
                    failures.add("rank " + other + " " + beat);
                } else if (beat.equals(before.get(other))) {
                    missing.add("rank " + other + " is gone, or does not answer");
                } else if (Long.parseLong(beat.split(" ")[1]) < begun) {
                    missing.add("rank " + other + " has not begun it");
                }
            }
            if (missing.length() > 0) {
                return missing.toString();
            }
            return failures.length() > 0 ? failures.toString() : "all ranks are alive and have begun it";
        } catch (TimeoutException | ExecutionException e) {
            return "the store does not answer: rank 0, or the launcher's agent that keeps it, is gone";
        }
    }

    private List<String> read() {
        var beats = new ArrayList<String>();
        for (int other = 0; other < world; other++) {
            beats.add(store.get_to_str(ranks.key(other)));
        }
        return beats;
    }

    private <T> T ask(Callable<T> question) throws TimeoutException, ExecutionException {
        try {
            return thread.submit(question).get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ExecutionException(e);
        } catch (RejectedExecutionException e) { // closed
            throw new ExecutionException(e);
        }
    }

    @Override
    public void close() {
        thread.shutdownNow();
        try {
            if (thread.awaitTermination(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                store.close();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    static String seconds(Duration duration) {
        return duration.toMillis() / 1e3 + " s";
    }

    static void sleep(Duration duration) {
        try {
            Thread.sleep(duration.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CollectiveException("Interrupted while waiting for other ranks", e);
        }
    }
}
