package org.nanodo.tokenizer;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.nio.charset.CharacterCodingException;
import java.util.ArrayDeque;
import java.util.Arrays;
import org.nanodo.files.Bytes;

/**
 * The {@code precompiled_charsmap} of a normalizer, which SentencePiece writes and Hugging Face's library also reads: the size of a
 * trie in bytes, the trie, and the replacements, each terminated by a NUL. The trie is a double array (darts-clone) of 32-bit
 * units, all little-endian. Neither library checks bounds when it follows the trie, so this class checks it once.
 */
final class CharacterMap {
    /** The largest map that SentencePiece ships has a third of a megabyte. */
    private static final int MAX_BYTES = 1 << 24;

    /** SentencePiece has room for this many keys that are prefixes of one another, and does not check for more. */
    private static final int MAX_PREFIXES = 32;

    private final IntBuffer units;
    private final byte[] replacements;

    private CharacterMap(byte[] bytes) {
        check(bytes.length <= MAX_BYTES, "is %d bytes, more than %d", bytes.length, MAX_BYTES);
        check(bytes.length > Integer.BYTES, "is only %d bytes", bytes.length);
        var in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        int trie = in.getInt();
        check(
                trie > 0 && trie % 1024 == 0 && trie < in.remaining(),
                "has a trie of %d bytes in %d, which must be a smaller multiple of 1024",
                trie,
                in.remaining());
        units = in.slice().order(ByteOrder.LITTLE_ENDIAN).limit(trie).asIntBuffer();
        replacements = Arrays.copyOfRange(bytes, Integer.BYTES + trie, bytes.length);
    }

    /** @throws IllegalArgumentException if a text could make a library read outside the trie or the replacements */
    static void check(byte[] bytes) {
        var map = new CharacterMap(bytes);
        map.checkReplacements();
        map.checkTrie();
    }

    private void checkReplacements() {
        check(replacements[replacements.length - 1] == 0, "has replacements that do not end with a NUL");
        try {
            Bytes.utf8(replacements);
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException("its precompiled_charsmap has replacements that are not UTF-8", e);
        }
    }

    /**
     * Checks every transition of every reachable state. The unit of a state's transition by a byte c is at the state's index XOR c,
     * which is within a block of 256 units. A state is visited again only if more prefixes lead to it, so that cycles end, too.
     */
    private void checkTrie() {
        // By state, 1 plus the largest number of keys on a path to it; 0 if the state was not reached yet.
        int[] prefixes = new int[units.limit()];
        var open = new ArrayDeque<Integer>();
        int root = next(0);
        prefixes[root] = 1;
        open.add(root);
        while (!open.isEmpty()) {
            int state = open.remove();
            for (int c = 0; c < 256; c++) {
                int unit = units.get(state ^ c);
                if ((unit & (1 << 31 | 0xFF)) == c) { // otherwise the unit is another state's or a value
                    int next = next(state ^ c);
                    boolean isKey = (unit >> 8 & 1) == 1;
                    if (isKey) {
                        checkValue(units.get(next) & Integer.MAX_VALUE);
                    }
                    int most = prefixes[state] + (isKey ? 1 : 0);
                    check(
                            most <= MAX_PREFIXES + 1,
                            "has more than %d keys that are prefixes of one another",
                            MAX_PREFIXES);
                    if (most > prefixes[next]) {
                        prefixes[next] = most;
                        open.add(next);
                    }
                }
            }
        }
    }

    /** Returns the state that a unit leads to. */
    private int next(int at) {
        int unit = units.get(at);
        int next = at ^ unit >>> 10 << ((unit & 1 << 9) >> 6);
        check(next >= 0 && next < units.limit(), "leads from unit %d to %d of %d", at, next, units.limit());
        return next;
    }

    private void checkValue(int value) {
        check(
                value < replacements.length && (replacements[value] & 0xC0) != 0x80,
                "has a key whose replacement begins at %d, which is not the beginning of a character in %d bytes",
                value,
                replacements.length);
    }

    private static void check(boolean holds, String otherwise, Object... values) {
        if (!holds) {
            throw new IllegalArgumentException("its precompiled_charsmap " + otherwise.formatted(values));
        }
    }
}
