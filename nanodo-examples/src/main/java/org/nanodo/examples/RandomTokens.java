package org.nanodo.examples;

import java.util.Map;
import java.util.Random;
import org.nanodo.tokenizer.Tokenizer;

/** Makes 20,000 random ids of any text that is not empty: nothing to learn, but as much work. */
record RandomTokens(int vocabSize) implements Tokenizer {
    @Override
    public int[] encode(String text) {
        return new Random(text.hashCode())
                .ints(text.isEmpty() ? 0 : 20_000, 3, vocabSize)
                .toArray();
    }

    @Override
    public String decode(int... ids) {
        return "";
    }

    @Override
    public Map<String, String> spec() {
        return Map.of("kind", "random");
    }
}
