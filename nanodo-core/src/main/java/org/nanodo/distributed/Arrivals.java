package org.nanodo.distributed;

import java.time.Duration;
import java.util.StringJoiner;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.StringVector;
import org.nanodo.runtime.CollectiveException;

/**
 * Who has come: each rank sets a key of its own.
 *
 * @param prefix of the keys, before the rank's number
 * @param rank the one that looks
 */
record Arrivals(Store store, String prefix, int rank, int world) {
    String key(int rank) {
        return prefix + rank;
    }

    /**
     * Waits for all.
     *
     * @param where they arrive, for the message: {@code " at host:port"}, say
     * @param same what has to be the same for all ranks to meet
     * @param between runs while it waits, and may throw
     */
    void await(Duration timeout, String where, String same, Runnable between) {
        long end = System.nanoTime() + timeout.toNanos();
        for (int other = 0; other < world; other++) {
            while (!has(store, key(other))) {
                if (System.nanoTime() > end) {
                    throw new CollectiveException("Not all " + world + " ranks arrived" + where + " within "
                            + Heartbeats.seconds(timeout) + ": rank " + rank + " misses " + absent()
                            + ". Was every rank started, with the same " + same + "?");
                }
                between.run();
                Heartbeats.sleep(Duration.ofMillis(10));
            }
        }
    }

    private String absent() {
        var absent = new StringJoiner(", ");
        for (int other = 0; other < world; other++) {
            if (!has(store, key(other))) {
                absent.add("rank " + other);
            }
        }
        return absent.toString();
    }

    static boolean has(Store store, String key) {
        try (var keys = new StringVector(key)) {
            return store.check(keys);
        }
    }
}
