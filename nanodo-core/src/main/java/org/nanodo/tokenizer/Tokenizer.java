package org.nanodo.tokenizer;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.nanodo.files.OptionalLibrary;

/** Converts text to token ids and back. Implementations must be thread-safe. The special ids default to 0, 1 and 2. */
public interface Tokenizer {
    /** Returns a text's ids, without BOS and EOS. @throws IllegalArgumentException if the text cannot be encoded */
    int[] encode(String text);

    /** Returns the text of ids. BOS, EOS, padding and unknown ids are dropped; invalid UTF-8 becomes U+FFFD. */
    String decode(int... ids);

    /** Returns the number of ids, which is one more than the largest. */
    int vocabSize();

    /** Returns the id that pads rows. Its weight in the loss is zero, so the id may have another use, too. */
    default int padId() {
        return 0;
    }

    /** Returns the id that begins a document. */
    default int bosId() {
        return 1;
    }

    /** Returns the id that ends a document. If it is also the BOS id, one token between documents serves as both. */
    default int eosId() {
        return 2;
    }

    /** Returns a description from which {@link #of} creates this tokenizer. */
    Map<String, String> spec();

    /** Creates a tokenizer of UTF-8 bytes with 259 ids: padding 0, BOS 1, EOS 2, and b + 3 for a byte b. */
    static Tokenizer bytes() {
        return new ByteTokenizer();
    }

    /** Creates a tokenizer of a corpus's characters: padding 0, BOS 1, EOS 2, then the characters by their code points. */
    static Tokenizer characters(String corpus) {
        return CharacterTokenizer.of(corpus);
    }

    /** Creates a tokenizer of GPT-2's 50,257 byte pairs. The last, {@code <|endoftext|>}, is BOS, EOS and padding. */
    static Tokenizer gpt2() {
        return new Gpt2Tokenizer();
    }

    /**
     * Reads a SentencePiece {@code .model}. Most models normalize texts, for example by collapsing spaces, so that decoding may not
     * return the original text. Requires the optional dependencies {@code ai.djl.sentencepiece:sentencepiece} and
     * {@code com.google.protobuf:protobuf-java}.
     *
     * @throws java.nio.file.NoSuchFileException if the file does not exist
     * @throws IllegalArgumentException if the file is not a SentencePiece model with padding of id 0, BOS and EOS
     * @throws IllegalStateException if the libraries are missing
     */
    static Tokenizer sentencePiece(Path model) throws IOException {
        TokenizerFile file = TokenizerFile.read(model);
        return Djl.open(OptionalLibrary.SENTENCEPIECE, () -> SentencePieceTokenizer.of(file));
    }

    /**
     * Reads a Hugging Face {@code tokenizer.json}. BOS, EOS and padding are taken from a {@code tokenizer_config.json} in the same
     * directory or, without that file, found by their usual names; EOS replaces a missing BOS or padding. As in Hugging Face's
     * library, text that spells a special token becomes that token. Requires the optional dependency
     * {@code ai.djl.huggingface:tokenizers}.
     *
     * @throws java.nio.file.NoSuchFileException if the file does not exist
     * @throws IllegalArgumentException if the file is not a {@code tokenizer.json}, or its EOS cannot be determined
     * @throws IllegalStateException if the library is missing
     */
    static Tokenizer huggingFace(Path json) throws IOException {
        TokenizerFile file = TokenizerFile.read(json);
        return Djl.open(OptionalLibrary.HUGGING_FACE, () -> HuggingFaceTokenizer.of(file, null));
    }

    /** Reads a Hugging Face {@code tokenizer.json} with these special tokens, some or all of which may be the same. */
    static Tokenizer huggingFace(Path json, String bos, String eos, String pad) throws IOException {
        TokenizerFile file = TokenizerFile.read(json);
        return Djl.open(
                OptionalLibrary.HUGGING_FACE, () -> HuggingFaceTokenizer.of(file, new SpecialTokens(bos, eos, pad)));
    }

    /**
     * Creates a tokenizer from its {@link #spec}. A tokenizer's file must be where it was and have the same content.
     *
     * @throws IllegalArgumentException if the spec is not of a known tokenizer, or its file is missing or has changed
     */
    static Tokenizer of(Map<String, String> spec) throws IOException {
        String kind = String.valueOf(spec.get("kind"));
        return switch (kind) {
            case "bytes" -> bytes();
            case "characters" -> characters(spec.get("characters"));
            case "gpt2" -> gpt2();
            case "sentencepiece" -> {
                TokenizerFile file = TokenizerFile.of(spec);
                yield Djl.open(OptionalLibrary.SENTENCEPIECE, () -> SentencePieceTokenizer.of(file));
            }
            case "huggingface" -> Djl.open(OptionalLibrary.HUGGING_FACE, () -> HuggingFaceTokenizer.of(spec));
            default ->
                throw new IllegalArgumentException("Unknown tokenizer \"" + kind
                        + "\": it must be bytes, characters, gpt2, sentencepiece or huggingface");
        };
    }

    /** Returns whether a spec describes this tokenizer. The location of its file does not matter. */
    default boolean matches(Map<String, String> spec) {
        var own = new HashMap<>(spec());
        var other = new HashMap<>(spec);
        own.remove(TokenizerFile.PATH);
        other.remove(TokenizerFile.PATH);
        return own.equals(other);
    }

    /** @throws IllegalArgumentException if this tokenizer has more ids than a model's vocabulary of V */
    default void checkFits(int V) {
        if (vocabSize() > V) {
            throw new IllegalArgumentException(
                    "The tokenizer has " + vocabSize() + " ids, but the model has a vocabulary of V=" + V
                            + ": use the tokenizer that it was trained with, or a larger V");
        }
    }
}
