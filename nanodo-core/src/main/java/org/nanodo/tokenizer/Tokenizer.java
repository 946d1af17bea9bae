package org.nanodo.tokenizer;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.nanodo.files.OptionalLibrary;

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

    /**
     * A SentencePiece model, {@code .model}: the ids are its own. The model normalises texts, most often by making one
     * space of many, so that not every text comes back as it was. Takes {@code ai.djl.sentencepiece:sentencepiece} and
     * {@code com.google.protobuf:protobuf-java} on the class path.
     *
     * @throws java.nio.file.NoSuchFileException if there is no such file
     * @throws IllegalArgumentException if it is something else, its padding is not id 0, or it lacks BOS or EOS
     * @throws IllegalStateException if the libraries are not there
     */
    static Tokenizer sentencePiece(Path model) throws IOException {
        TokenizerFile file = TokenizerFile.read(model);
        return Djl.open(OptionalLibrary.SENTENCEPIECE, () -> SentencePieceTokenizer.of(file));
    }

    /**
     * A {@code tokenizer.json} of Hugging Face's. What begins and ends documents and fills rows up is taken from a
     * {@code tokenizer_config.json} beside it or, without one, known by its name; EOS stands in for a BOS or padding that
     * is not there. Text that spells a special token becomes that token, as it does there. Takes
     * {@code ai.djl.huggingface:tokenizers} on the class path.
     *
     * @throws java.nio.file.NoSuchFileException if there is no such file
     * @throws IllegalArgumentException if it is something else, or which token ends a document cannot be told
     * @throws IllegalStateException if the library is not there
     */
    static Tokenizer huggingFace(Path json) throws IOException {
        TokenizerFile file = TokenizerFile.read(json);
        return Djl.open(OptionalLibrary.HUGGING_FACE, () -> HuggingFaceTokenizer.of(file, null));
    }

    /** With special tokens by name, {@code <|endoftext|>} say; two or all three may be the same. */
    static Tokenizer huggingFace(Path json, String bos, String eos, String pad) throws IOException {
        TokenizerFile file = TokenizerFile.read(json);
        return Djl.open(
                OptionalLibrary.HUGGING_FACE, () -> HuggingFaceTokenizer.of(file, new SpecialTokens(bos, eos, pad)));
    }

    /**
     * Makes a tokenizer again. A file is looked for where it was, and has to have the same content.
     *
     * @throws IllegalArgumentException if this is not what {@link #spec} of a known tokenizer returned, or if its file has
     *     moved or changed
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
                throw new IllegalArgumentException(
                        "Unknown tokenizer \"" + kind + "\": bytes, characters, gpt2, sentencepiece, huggingface");
        };
    }

    /** Whether a spec is of a tokenizer like this one, wherever its file lies. */
    default boolean matches(Map<String, String> spec) {
        var own = new HashMap<>(spec());
        var other = new HashMap<>(spec);
        own.remove(TokenizerFile.PATH);
        other.remove(TokenizerFile.PATH);
        return own.equals(other);
    }

    /** @throws IllegalArgumentException if a model with V ids cannot take this tokenizer's */
    default void checkFits(int V) {
        if (vocabSize() > V) {
            throw new IllegalArgumentException("The tokenizer has " + vocabSize() + " ids, the model a vocabulary of V="
                    + V + ": use the tokenizer it was trained with, or a larger V");
        }
    }
}
