package org.nanodo.source;

import java.util.SplittableRandom;

/** Seeded permutations. */
public final class Shuffle {
    private Shuffle() {}

    /** A permutation of 0 to n - 1 (Fisher and Yates), another one for every turn. */
    public static int[] permutation(int n, long seed, long turn) {
        long stream = new SplittableRandom(seed).nextLong() ^ new SplittableRandom(~turn).nextLong();
        var random = new SplittableRandom(stream);
        int[] order = new int[n];
        for (int i = 0; i < n; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        return order;
    }
}
