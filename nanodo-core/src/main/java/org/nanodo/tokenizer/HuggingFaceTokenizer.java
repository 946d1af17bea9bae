package org.nanodo.tokenizer;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.lang.ref.Reference;
import java.util.Arrays;
import java.util.Map;

/** A tokenizer that reads a {@code tokenizer.json} with Hugging Face's own library. */
final class HuggingFaceTokenizer implements Tokenizer {
    /** Documents are neither truncated nor padded, whatever the file says. */
    private static final Map<String, String> WHOLE = Map.of("truncation", "false", "padding", "false");

    private final TokenizerFile file;
    private final ai.djl.huggingface.tokenizers.HuggingFaceTokenizer library; // freed by its own cleaner
    private final SpecialTokens special;
    private final int vocabSize;
    private final int bosId;
    private final int eosId;
    private final int padId;

    private HuggingFaceTokenizer(
            TokenizerFile file,
            ai.djl.huggingface.tokenizers.HuggingFaceTokenizer library,
            SpecialTokens special,
            Map<String, Integer> ids) {
        this.file = file;
        this.library = library;
        this.special = special;
        bosId = id(ids, special.bos());
        eosId = id(ids, special.eos());
        padId = id(ids, special.pad());
        vocabSize = 1 + ids.values().stream().mapToInt(id -> id).max().orElseThrow();
    }

    /** @param special null to find the special tokens by {@link SpecialTokens#of} */
    static HuggingFaceTokenizer of(TokenizerFile file, SpecialTokens special) throws IOException {
        TokenizerJson json;
        ai.djl.huggingface.tokenizers.HuggingFaceTokenizer library;
        try {
            json = TokenizerJson.parse(file.bytes()); // first, because the library aborts the process on some files
            library = ai.djl.huggingface.tokenizers.HuggingFaceTokenizer.newInstance(
                    new ByteArrayInputStream(file.bytes()), WHOLE);
        } catch (IOException | RuntimeException e) {
            throw new IllegalArgumentException(file.path() + " is not a complete tokenizer.json: " + e.getMessage(), e);
        }
        return new HuggingFaceTokenizer(
                file, library, special == null ? SpecialTokens.of(file.path(), json.special()) : special, json.ids());
    }

    static HuggingFaceTokenizer of(Map<String, String> spec) throws IOException {
        return of(TokenizerFile.of(spec), new SpecialTokens(spec.get("bos"), spec.get("eos"), spec.get("pad")));
    }

    @Override
    public int[] encode(String text) {
        long[] ids;
        try {
            ids = library.encode(text, false, false).getIds();
        } catch (RuntimeException e) { // the only type that the library throws
            throw new IllegalArgumentException(file.path() + " cannot encode this text: " + e.getMessage(), e);
        }
        Reference.reachabilityFence(this);
        return Arrays.stream(ids).mapToInt(Math::toIntExact).toArray();
    }

    @Override
    public String decode(int... ids) {
        long[] known = Arrays.stream(ids)
                .filter(id -> id >= 0 && id < vocabSize && id != bosId && id != eosId)
                .asLongStream()
                .toArray();
        String text = library.decode(known, true);
        Reference.reachabilityFence(this);
        return text;
    }

    @Override
    public int vocabSize() {
        return vocabSize;
    }

    @Override
    public int padId() {
        return padId;
    }

    @Override
    public int bosId() {
        return bosId;
    }

    @Override
    public int eosId() {
        return eosId;
    }

    @Override
    public Map<String, String> spec() {
        return file.spec("huggingface", Map.of("bos", special.bos(), "eos", special.eos(), "pad", special.pad()));
    }

    private int id(Map<String, Integer> ids, String token) {
        Integer id = ids.get(token);
        if (id == null) {
            throw new IllegalArgumentException(
                    file.path() + " has no token \"" + token + "\" among its " + ids.size() + " tokens");
        }
        return id;
    }
}
