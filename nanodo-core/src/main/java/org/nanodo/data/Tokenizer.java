package org.nanodo.data;

import java.util.Map;

/**
 * Text to token ids and back. Implementations are safe for use by several threads. The special ids are 0, 1 and 2 unless an
 * implementation has others.
 */
public interface Tokenizer {
    /** Ids of a text, without BOS and EOS. @throws IllegalArgumentException if the text cannot be encoded */
    int[] encode(String text);

    /** The text of ids; BOS, EOS and padding have none. Bytes that are not whole characters become U+FFFD. */
    String decode(int... ids);

    /** One more than the largest id. */
    int vocabSize();

    /** Fills rows up. Its weight in the loss is zero, so it may be an id that also has another use. */
    default int padId() {
        return 0;
    }

    /** Begins a document. */
    default int bosId() {
        return 1;
    }

    /** Ends a document. Where this is also the BOS id, one token between documents serves as both. */
    default int eosId() {
        return 2;
    }

    /** What {@link #of} needs to make this tokenizer again, as values that JSON knows. */
    Map<String, String> spec();

    /** UTF-8 bytes: pad 0, BOS 1, EOS 2, byte b is b + 3; 259 ids. */
    static Tokenizer bytes() {
        return new ByteTokenizer();
    }

    /** The different characters of a corpus in the order of their code points from id 3: pad 0, BOS 1, EOS 2. */
    static Tokenizer characters(String corpus) {
        return CharacterTokenizer.of(corpus);
    }

    /** GPT-2's byte-pair encoding, 50,257 ids, the last of which, {@code <|endoftext|>}, is BOS, EOS and padding. */
    static Tokenizer gpt2() {
        return new Gpt2Tokenizer();
    }

    /** @throws IllegalArgumentException if this is not what {@link #spec} of a known tokenizer returned */
    static Tokenizer of(Map<String, String> spec) {
        String kind = String.valueOf(spec.get("kind"));
        return switch (kind) {
            case "bytes" -> bytes();
            case "characters" -> characters(spec.get("characters"));
            case "gpt2" -> gpt2();
            default ->
                throw new IllegalArgumentException("Unknown tokenizer \"" + kind + "\": bytes, characters, gpt2");
        };
    }

    /** @throws IllegalArgumentException if a model with V ids cannot take this tokenizer's */
    default void checkFits(int V) {
        if (vocabSize() > V) {
            throw new IllegalArgumentException("The tokenizer has " + vocabSize() + " ids, the model a vocabulary of V="
                    + V + ": use the tokenizer it was trained with, or a larger V");
        }
    }
}
