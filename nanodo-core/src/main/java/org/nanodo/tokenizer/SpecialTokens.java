package org.nanodo.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.nanodo.files.Json;

/** The tokens that begin and end documents and pad rows, which a {@code tokenizer.json} does not define. They may be the same. */
record SpecialTokens(String bos, String eos, String pad) {
    private static final List<String> BOS =
            List.of("<s>", "<bos>", "[BOS]", "<|begin_of_text|>", "<|startoftext|>", "[CLS]");
    private static final List<String> EOS =
            List.of("</s>", "<eos>", "[EOS]", "<|end_of_text|>", "<|endoftext|>", "[SEP]");
    private static final List<String> PAD = List.of("<pad>", "[PAD]", "<|pad|>", "<|padding|>");

    /**
     * Finds the special tokens in the file {@code tokenizer_config.json} in the same directory or, without that file, by their usual
     * names. EOS replaces a missing BOS or padding.
     *
     * @param special the tokens that the {@code tokenizer.json} marks as special
     * @throws IllegalArgumentException if there is no EOS
     */
    static SpecialTokens of(Path file, Set<String> special) throws IOException {
        Path config = file.resolveSibling("tokenizer_config.json");
        SpecialTokens found = Files.isRegularFile(config)
                ? configured(config)
                : new SpecialTokens(usual(BOS, special), usual(EOS, special), usual(PAD, special));
        if (found.eos == null) {
            throw new IllegalArgumentException("The token that ends a document cannot be determined from " + file
                    + (Files.isRegularFile(config) ? " and " + config.getFileName() : "")
                    + ", whose special tokens are "
                    + special + ": name it with Tokenizer.huggingFace(file, bos, eos, pad)");
        }
        return new SpecialTokens(
                found.bos == null ? found.eos : found.bos, found.eos, found.pad == null ? found.eos : found.pad);
    }

    private static String usual(List<String> names, Set<String> special) {
        return names.stream().filter(special::contains).findFirst().orElse(null);
    }

    private static SpecialTokens configured(Path config) throws IOException {
        JsonNode fields = Json.read(config, JsonNode.class);
        return new SpecialTokens(token(fields, "bos_token"), token(fields, "eos_token"), token(fields, "pad_token"));
    }

    /** Returns a token, which the JSON gives as a string or as an object with the string as its content. */
    private static String token(JsonNode fields, String name) {
        JsonNode token = fields.path(name);
        return token.isObject() ? token.path("content").textValue() : token.textValue();
    }
}
