package org.nanodo.data;

import java.util.SplittableRandom;

/** Seeded permutations. */
final class Shuffle {
    private Shuffle() {}

    /** A permutation of 0 to n - 1 (Fisher and Yates), another one for every turn. */
    static int[] permutation(int n, long seed, long turn) {
        var random = new SplittableRandom(new SplittableRandom(seed).nextLong() + turn * 0x9E3779B97F4A7C15L);
        int[] order = new int[n];
        for (int i = 0; i < n; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        return order;
    }
}
