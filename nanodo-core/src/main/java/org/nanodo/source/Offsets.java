package org.nanodo.source;

import java.util.ArrayList;
import java.util.List;

/** Numbers that never become smaller, such as where a file's lines begin, in four bytes each. */
final class Offsets {
    private static final int CHUNK_BITS = 14;
    private static final int CHUNK = 1 << CHUNK_BITS;

    private final List<int[]> chunks = new ArrayList<>(); // of the lower halves
    private final List<Integer> carries = new ArrayList<>(); // before which number each 4 GiB more begin
    private int size;

    /** @throws IllegalArgumentException if there would be more than 2³¹ - 1 */
    void add(long offset) {
        if (size == Integer.MAX_VALUE) {
            throw new IllegalArgumentException("There are more than " + size + " lines or sections, which cannot be"
                    + " numbered: divide the file into several, or take larger sections");
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
            high++; // one for every 4 GiB of the file
        }
        return high << Integer.SIZE | Integer.toUnsignedLong(chunks.get(index >> CHUNK_BITS)[index & CHUNK - 1]);
    }

    /** How many are not larger than this. */
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
