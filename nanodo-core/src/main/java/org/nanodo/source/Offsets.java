package org.nanodo.source;

import java.util.ArrayList;
import java.util.List;

/** An ascending list of numbers, such as the starts of a file's lines, in four bytes each. */
final class Offsets {
    private static final int CHUNK_BITS = 14;
    private static final int CHUNK = 1 << CHUNK_BITS;

    private final List<int[]> chunks = new ArrayList<>(); // the lower halves of the numbers
    private final List<Integer> carries =
            new ArrayList<>(); // for each multiple of 2³², the index of the first number above
    private int size;

    /** @throws IllegalArgumentException if the list already has 2³¹ - 1 numbers */
    void add(long offset) {
        if (size == Integer.MAX_VALUE) {
            throw new IllegalArgumentException("More than " + size + " lines or sections cannot be numbered: divide the"
                    + " file into several, or use larger sections");
        }
        while (carries.size() < offset >>> Integer.SIZE) {
            carries.add(size);
        }
        if (size == chunks.size() << CHUNK_BITS) {
            chunks.add(new int[CHUNK]);
        }
        chunks.get(size >> CHUNK_BITS)[size & CHUNK - 1] = (int) offset;
        size++;
    }

    int size() {
        return size;
    }

    long get(int index) {
        long high = 0;
        while (high < carries.size() && carries.get((int) high) <= index) {
            high++; // at most once for every 4 GiB of the file
        }
        return high << Integer.SIZE | Integer.toUnsignedLong(chunks.get(index >> CHUNK_BITS)[index & CHUNK - 1]);
    }

    /** Returns how many numbers are less than or equal to {@code offset}. */
    int countTo(long offset) {
        int from = 0;
        int to = size;
        while (from < to) {
            int middle = (from + to) >>> 1;
            if (get(middle) <= offset) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        return from;
    }
}
