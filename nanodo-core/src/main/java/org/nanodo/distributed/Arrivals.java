package org.nanodo.distributed;

import java.time.Duration;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.StringVector;
import org.nanodo.runtime.CollectiveException;

/**
 * The arrivals of ranks at a store, where each sets a key of its own.
 *
 * @param prefix the start of every key, which the rank's number follows
 * @param rank this rank
 */
record Arrivals(Store store, String prefix, int rank, int world) {
    String key(int rank) {
        return prefix + rank;
    }

    /**
     * Waits for all ranks.
     *
     * @param where the place for the message, such as {@code " at host:port"}
     * @param same the settings that all ranks must share to meet, for the message
     * @param between runs between two looks at the store, and may throw
     */
    void await(Duration timeout, String where, String same, Runnable between) {
        long end = System.nanoTime() + timeout.toNanos();
        for (int other = 0; other < world; other++) {
            while (!has(store, key(other))) {
                if (System.nanoTime() > end) {
                    throw new CollectiveException("Not all " + world + " ranks arrived" + where + " within "
                            + Peers.seconds(timeout) + ": rank " + rank + " misses " + absent()
                            + ". Was every rank started, with the same " + same + "?");
                }
                between.run();
                Peers.sleep(Duration.ofMillis(10));
            }
        }
    }

    private String absent() {
        return IntStream.range(0, world)
                .filter(other -> !has(store, key(other)))
                .mapToObj(other -> "rank " + other)
                .collect(Collectors.joining(", "));
    }

    static boolean has(Store store, String key) {
        try (var keys = new StringVector(key)) {
            return store.check(keys);
        }
    }
}
