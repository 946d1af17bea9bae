package org.nanodo.distributed;

import java.time.Duration;
import java.util.List;
import java.util.StringJoiner;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Store;
import org.nanodo.files.DaemonThread;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Scope;

/**
 * The ranks that run collectives together. Each tells the others through the store that it is alive and how many collectives
 * it has begun, so that an error can name the rank that is missing. A store that is lost with its rank never answers, so one
 * thread talks to the store, and nobody waits for that thread without a limit.
 */
final class Peers implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofSeconds(5);
    private static final String FAILED = "failed: ";

    final int rank;
    final int world;
    final Duration timeout;

    /** The start of the keys in the store that belong to these peers alone. */
    final String prefix;

    private final Store owner; // keeps the caller's store, and its server with it, from being collected
    private final Store store;
    private final Arrivals arrivals;
    private final Duration interval;
    private final ScheduledExecutorService thread =
            Executors.newSingleThreadScheduledExecutor(task -> DaemonThread.of("nanodo-heartbeats", task));
    private volatile boolean met;
    private volatile long begun;
    private volatile CollectiveException failure;
    private long beats;
    private boolean silent;

    /** @param kind distinguishes the peers of several libraries; peers of one kind are numbered in the order of creation */
    Peers(Store store, String kind, int rank, int world, Duration timeout) {
        if (rank < 0 || rank >= world) {
            throw new IllegalArgumentException("There is no rank " + rank + " in a world of " + world);
        }
        if (timeout.isNegative() || timeout.isZero()) {
            throw new IllegalArgumentException("A time limit of " + timeout + " leaves no time: give it seconds");
        }
        this.rank = rank;
        this.world = world;
        this.timeout = timeout;
        this.prefix = kind + "/" + store.add(kind + "/ranks/" + rank, 1);
        this.owner = store;
        this.store = Scope.keep(store.clone());
        this.arrivals = new Arrivals(this.store, prefix + "/rank/", rank, world);
        this.interval = Duration.ofMillis(Math.max(10, Math.min(1000, timeout.toMillis() / 10)));
    }

    /** Announces this rank, waits for all others, then sends heartbeats until closed. */
    void meet() {
        store.set(arrivals.key(rank), "0 0");
        met = true;
        arrivals.await(timeout, "", "WORLD_SIZE", () -> {});
        thread.scheduleAtFixedRate(
                () -> {
                    if (!silent) {
                        store.set(arrivals.key(rank), ++beats + " " + begun);
                    }
                },
                0,
                interval.toMillis(),
                TimeUnit.MILLISECONDS);
    }

    /** Counts a collective that starts and returns its number. Only one thread may call this. */
    long begin() {
        return ++begun;
    }

    /** Describes a collective in a message. */
    String describe(String name, long number) {
        return name + ", collective " + number + " of rank " + rank + " of " + world + " ranks";
    }

    /** Returns the first failure, or null. */
    CollectiveException failure() {
        return failure;
    }

    void throwIfFailed() {
        if (failure != null) {
            throw new CollectiveException(failure.getMessage(), failure); // this thread's own stack trace
        }
    }

    /** Records a failure, if it is the first, and tells the peers. Returns the first failure. */
    synchronized CollectiveException fail(String message, Throwable cause) {
        if (failure == null) {
            failure = new CollectiveException(message, cause);
            tell(message);
        }
        return failure;
    }

    /** Closes this rank's part after a start that failed, and tells the peers why. */
    void abandon(Throwable cause) {
        if (met) {
            tell(String.valueOf(cause.getMessage()));
        }
        close();
    }

    private void tell(String message) {
        try {
            ask(() -> {
                silent = true;
                store.set(arrivals.key(rank), FAILED + message);
                return null;
            });
        } catch (TimeoutException | ExecutionException e) {
            // peers that look for this rank will find that it sends no heartbeats
        }
    }

    /** Names the ranks that hold up the collective of this number. Takes a few heartbeats. */
    String missing(long number) {
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
                } else if (Long.parseLong(beat.split(" ")[1]) < number) {
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
        return IntStream.range(0, world)
                .mapToObj(other -> store.get_to_str(arrivals.key(other)))
                .toList();
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
