package org.nanodo.tokenizer;

import java.util.Arrays;
import java.util.Map;

/** A tokenizer with one id for each code point of an alphabet, in ascending order after three special ids. */
record CharacterTokenizer(int[] alphabet) implements Tokenizer {
    private static final int FIRST = 3;

    static CharacterTokenizer of(String corpus) {
        if (corpus == null || corpus.isEmpty()) {
            throw new IllegalArgumentException(
                    "A character vocabulary is built from the characters of a text, which must not be empty");
        }
        return new CharacterTokenizer(corpus.codePoints().distinct().sorted().toArray());
    }

    @Override
    public int[] encode(String text) {
        int[] ids = text.codePoints().toArray();
        for (int i = 0; i < ids.length; i++) {
            int index = Arrays.binarySearch(alphabet, ids[i]);
            if (index < 0) {
                throw new IllegalArgumentException(
                        "Character '%s' (U+%04X) at position %d is not in the vocabulary of %d characters: build it from a text that has it"
                                .formatted(Character.toString(ids[i]), ids[i], i, alphabet.length));
            }
            ids[i] = index + FIRST;
        }
        return ids;
    }

    @Override
    public String decode(int... ids) {
        var text = new StringBuilder();
        for (int id : ids) {
            if (id >= FIRST && id < vocabSize()) {
                text.appendCodePoint(alphabet[id - FIRST]);
            }
        }
        return text.toString();
    }

    @Override
    public int vocabSize() {
        return FIRST + alphabet.length;
    }

    @Override
    public Map<String, String> spec() {
        return Map.of("kind", "characters", "characters", new String(alphabet, 0, alphabet.length));
    }
}
