package org.nanodo.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class CharacterMapTest {
    private static final int FIRST = 4 + 4 * (256 ^ 'a'); // the unit of the first transition

    private final byte[] sound = CharacterMaps.of("aé", "ä");

    @Test
    void aSoundMapPasses() {
        assertThatCode(() -> CharacterMap.check(sound)).doesNotThrowAnyException();
    }

    @Test
    void aMapThatLeadsOutOfBoundsIsRefused() {
        refuses("is only 4 bytes", Arrays.copyOf(sound, 4));
        refuses("is 16777217 bytes", new byte[(1 << 24) + 1]);
        refuses("has a trie of -1 bytes", with(0, -1));
        refuses("has a trie of 6144 bytes in 5123", with(0, 6144));
        refuses("has a trie of 5000 bytes", with(0, 5000));
        refuses("leads from unit 0 to 2048 of 1280", with(4, 2048 << 10));
        refuses("leads from unit 353 to", with(FIRST, 'a' | 5000 << 10));
        refuses("leads from unit 353 to", with(FIRST, 'a' | 1 << 9 | 1 << 30));
        refuses("whose replacement begins at 3", with(4 + 4 * 1024, 3 | 1 << 31));
        refuses("whose replacement begins at 1, which is not the beginning", with(4 + 4 * 1024, 1 | 1 << 31));
        refuses("do not end with a NUL", Arrays.copyOf(sound, sound.length - 1));
        byte[] latin = sound.clone();
        latin[latin.length - 2] = 'x';
        refuses("not UTF-8", latin);
        // A key whose transition leads to its own state: aaaa… has an unlimited number of prefixes.
        byte[] cycle = with(FIRST, 'a' | 1 << 8 | 'a' << 10);
        ByteBuffer.wrap(cycle).order(ByteOrder.LITTLE_ENDIAN).putInt(4 + 4 * 256, 1 << 31);
        refuses("more than 32 keys", cycle);
    }

    @Test
    void noTextLeadsOutOfAMapThatPasses() {
        var random = new Random(5);
        int passed = 0;
        for (int i = 0; i < 20_000; i++) {
            byte[] map = sound.clone();
            for (int flips = 1 + random.nextInt(3); flips > 0; flips--) {
                // Most units are 0: half of the flips are in others.
                int at = random.nextBoolean() ? random.nextInt(map.length) : 4 * random.nextInt(map.length / 4);
                while (random.nextBoolean() && map[at] == 0) {
                    at = random.nextInt(map.length);
                }
                map[at] ^= (byte) (1 << random.nextInt(8));
            }
            if (catchThrowable(() -> CharacterMap.check(map)) == null) {
                passed++;
                for (String text : new String[] {"aé", "aaa", "é", "\0\0", "aéaé"}) {
                    search(map, text.getBytes(java.nio.charset.StandardCharsets.UTF_8));
                }
            }
        }
        assertThat(passed).isBetween(1_000, 19_900);
    }

    /** Searches like darts-clone, which does not check bounds, whereas Java does. */
    private static void search(byte[] map, byte[] text) {
        var in = ByteBuffer.wrap(map).order(ByteOrder.LITTLE_ENDIAN);
        var units = in.slice(4, in.getInt(0)).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer();
        int at = offset(units.get(0));
        for (byte c : text) {
            at ^= c & 0xFF;
            int unit = units.get(at);
            if ((unit & (1 << 31 | 0xFF)) != (c & 0xFF)) {
                return;
            }
            at ^= offset(unit);
            if ((unit >> 8 & 1) == 1) {
                for (int value = units.get(at) & Integer.MAX_VALUE; map[4 + in.getInt(0) + value] != 0; value++) {}
            }
        }
    }

    private static int offset(int unit) {
        return unit >>> 10 << ((unit & 1 << 9) >> 6);
    }

    private byte[] with(int at, int value) {
        byte[] map = sound.clone();
        ByteBuffer.wrap(map).order(ByteOrder.LITTLE_ENDIAN).putInt(at, value);
        return map;
    }

    private static void refuses(String message, byte[] map) {
        assertThatThrownBy(() -> CharacterMap.check(map))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("precompiled_charsmap")
                .hasMessageContaining(message);
    }
}
