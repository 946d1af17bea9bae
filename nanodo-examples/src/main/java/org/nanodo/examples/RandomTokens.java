package org.nanodo.examples;

import java.util.Map;
import java.util.Random;
import org.nanodo.tokenizer.Tokenizer;

/** Encodes any text that is not empty as 20,000 random ids, which take as much work as real ones. */
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
