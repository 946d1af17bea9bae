package org.nanodo.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.nanodo.files.Json;

/**
 * Which tokens of a {@code tokenizer.json} begin and end documents and fill rows up: the file itself does not say. BOS and
 * EOS may be the same.
 */
record SpecialTokens(String bos, String eos, String pad) {
    private static final List<String> BOS =
            List.of("<s>", "<bos>", "[BOS]", "<|begin_of_text|>", "<|startoftext|>", "[CLS]");
    private static final List<String> EOS =
            List.of("</s>", "<eos>", "[EOS]", "<|end_of_text|>", "<|endoftext|>", "[SEP]");
    private static final List<String> PAD = List.of("<pad>", "[PAD]", "<|pad|>", "<|padding|>");

    /**
     * As {@code tokenizer_config.json} beside the file has them or, without one, by the usual names. EOS stands in for a
     * BOS or padding that there is none of.
     *
     * @param special the file's special tokens
     * @throws IllegalArgumentException if that finds no EOS
     */
    static SpecialTokens of(Path file, Set<String> special) throws IOException {
        Path config = file.resolveSibling("tokenizer_config.json");
        SpecialTokens found = Files.isRegularFile(config)
                ? configured(config)
                : new SpecialTokens(usual(BOS, special), usual(EOS, special), usual(PAD, special));
        if (found.eos == null) {
            throw new IllegalArgumentException("Which token ends a document is not to be seen from " + file
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

    /** A name, or an object with the name as its content. */
    private static String token(JsonNode fields, String name) {
        JsonNode token = fields.path(name);
        return token.isObject() ? token.path("content").textValue() : token.textValue();
    }
}
