package org.nanodo.source;

import java.util.SplittableRandom;

/** Seeded permutations. */
public final class Shuffle {
    private Shuffle() {}

    /** Returns a permutation of 0 to n - 1 (Fisher and Yates), another one for each turn. */
    public static int[] permutation(int n, long seed, long turn) {
        SplittableRandom random = random(seed, turn);
        int[] order = new int[n];
        for (int i = 0; i < n; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        return order;
    }

    static SplittableRandom random(long seed, long turn) {
        return new SplittableRandom(new SplittableRandom(seed).nextLong() ^ new SplittableRandom(~turn).nextLong());
    }
}
