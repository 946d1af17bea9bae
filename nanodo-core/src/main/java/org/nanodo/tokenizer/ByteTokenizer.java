package org.nanodo.tokenizer;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/** A tokenizer with one id for each byte of UTF-8, after three special ids. */
record ByteTokenizer() implements Tokenizer {
    private static final int FIRST = 3;

    @Override
    public int[] encode(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        int[] ids = new int[bytes.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (bytes[i] & 0xFF) + FIRST;
        }
        return ids;
    }

    @Override
    public String decode(int... ids) {
        byte[] bytes = new byte[ids.length];
        int length = 0;
        for (int id : ids) {
            if (id >= FIRST && id < vocabSize()) {
                bytes[length++] = (byte) (id - FIRST);
            }
        }
        return new String(bytes, 0, length, StandardCharsets.UTF_8);
    }

    @Override
    public int vocabSize() {
        return FIRST + 256;
    }

    @Override
    public Map<String, String> spec() {
        return Map.of("kind", "bytes");
    }
}
