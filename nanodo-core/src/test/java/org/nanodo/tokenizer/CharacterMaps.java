package org.nanodo.tokenizer;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Creates small {@code precompiled_charsmap}s that replace one text by another. */
final class CharacterMaps {
    private CharacterMaps() {}

    /** Gives each state its own block of 256 units, so that the target of a damaged unit is easy to predict. */
    static byte[] of(String key, String replacement) {
        byte[] bytes = key.getBytes(StandardCharsets.UTF_8);
        byte[] replacements = (replacement + "\0").getBytes(StandardCharsets.UTF_8);
        int trie = 1024 * (bytes.length + 2);
        var map = ByteBuffer.allocate(4 + trie + replacements.length).order(ByteOrder.LITTLE_ENDIAN);
        map.putInt(trie);
        int state = 256;
        map.putInt(4, state << 10);
        for (int i = 0; i < bytes.length; i++) {
            int c = bytes[i] & 0xFF;
            int leaf = i == bytes.length - 1 ? 1 << 8 : 0;
            map.putInt(4 + 4 * (state ^ c), (state ^ c ^ state + 256) << 10 | leaf | c);
            state += 256;
        }
        map.putInt(4 + 4 * state, 1 << 31); // the value: an index of the replacements
        return map.put(4 + trie, replacements).array();
    }
}
