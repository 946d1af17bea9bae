package org.nanodo.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.CharacterCodingException;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.StreamSupport;
import org.nanodo.files.Bytes;
import org.nanodo.files.Json;

/**
 * The tokens of a {@code tokenizer.json} that is safe to open with Hugging Face's library. For some malformed JSON and some unexpected
 * values that library aborts the process instead of returning an error.
 *
 * @param ids the ids by token
 * @param special the tokens that are marked as special
 */
record TokenizerJson(Map<String, Integer> ids, Set<String> special) {
    /** Larger than any known vocabulary. A model's embedding has a row for each id. */
    private static final int MAX_ID = (1 << 24) - 1;

    /** @throws IllegalArgumentException if the bytes are not a safe {@code tokenizer.json} */
    static TokenizerJson parse(byte[] bytes) {
        JsonNode root;
        try {
            root = Json.read(Bytes.utf8(bytes), JsonNode.class);
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException("it is not UTF-8", e);
        }
        check(root.isObject(), "it is not a JSON object");
        checkValues(root);
        for (String part : List.of("truncation", "padding")) {
            check(isAbsent(root.path(part)) || root.path(part).isObject(), part + " is neither null nor an object");
        }
        for (String part : List.of("normalizer", "pre_tokenizer", "post_processor", "decoder")) {
            JsonNode component = root.path(part);
            if (!isAbsent(component)) {
                check(component.path("type").isTextual(), part + " is neither null nor an object with a type");
                checkComponent(component, part);
            }
        }
        var ids = new HashMap<String, Integer>();
        vocabulary(root.path("model"), ids);
        return new TokenizerJson(ids, addedTokens(root.path("added_tokens"), ids, deletes(root.path("normalizer"))));
    }

    /** Refuses values that Java accepts and Rust does not: half a surrogate pair, and numbers beyond a double. */
    private static void checkValues(JsonNode node) {
        check(!node.isTextual() || isUnicode(node.textValue()), "it has a string with half a character: " + node);
        check(!node.isNumber() || Double.isFinite(node.doubleValue()), "it has a number that is too large");
        node.fieldNames()
                .forEachRemaining(name -> check(isUnicode(name), "it has a name with half a character: " + name));
        node.forEach(TokenizerJson::checkValues);
    }

    private static boolean isUnicode(String text) {
        return text.codePoints().noneMatch(c -> c >= Character.MIN_SURROGATE && c <= Character.MAX_SURROGATE);
    }

    /** Refuses settings that the library accepts but aborts at when it encodes or decodes. Components may contain others. */
    private static void checkComponent(JsonNode component, String part) {
        switch (component.path("type").asText()) {
            case "Precompiled" -> {
                try {
                    CharacterMap.check(Base64.getDecoder()
                            .decode(component.path("precompiled_charsmap").asText()));
                } catch (IllegalArgumentException e) {
                    throw new IllegalArgumentException(part + ": " + e.getMessage(), e);
                }
            }
            case "Strip" ->
                check(
                        !part.equals("decoder") || component.path("stop").asInt() == 0,
                        "its decoder strips the ends of tokens, by a \"stop\" that is not 0, though tokens may be empty");
            case "FixedLength" ->
                check(component.path("length").asInt() > 0, "its " + part + " cuts texts into pieces of length 0");
            case "TemplateProcessing" ->
                check(
                        !component.path("single").findValuesAsText("id").contains("B"),
                        "its post_processor requires a second text for a single one");
            default -> {}
        }
        component.forEach(below -> checkComponent(below, part));
    }

    private static void vocabulary(JsonNode model, Map<String, Integer> ids) {
        check(model.isObject(), "it has no object \"model\"");
        JsonNode vocabulary = model.path("vocab");
        check(vocabulary.isContainerNode() && !vocabulary.isEmpty(), "model.vocab is not an object or list of tokens");
        check(vocabulary.size() <= MAX_ID, "model.vocab has more than " + MAX_ID + " tokens");
        if (vocabulary.isArray()) { // pairs of a token and its score
            for (int id = 0; id < vocabulary.size(); id++) {
                JsonNode pair = vocabulary.get(id);
                check(
                        pair.size() == 2
                                && pair.path(0).isTextual()
                                && pair.path(1).isNumber(),
                        "model.vocab[" + id + "] is not a token and its score");
                ids.put(pair.get(0).textValue(), id);
            }
        } else {
            vocabulary.properties().forEach(token -> ids.put(token.getKey(), id(token.getValue(), "model.vocab")));
        }
        JsonNode unknown = model.path("unk_id");
        check(
                isAbsent(unknown) || id(unknown, "model.unk_id") < vocabulary.size(),
                "model.unk_id is " + unknown + " of " + vocabulary.size() + " tokens");
        check(
                model.path("dropout").asDouble() == 0,
                "model.dropout is " + model.path("dropout") + ", which makes ids random. Set it to null");
        merges(model.path("merges"), model.path("continuing_subword_prefix").asText(""));
    }

    /** @param prefix the prefix of each pair's second token, which the merged token does not contain */
    private static void merges(JsonNode merges, String prefix) {
        check(isAbsent(merges) || merges.isArray(), "model.merges is not a list");
        for (int i = 0; i < merges.size(); i++) {
            JsonNode merge = merges.get(i);
            if (merge.isTextual() && i == 0 && merge.textValue().startsWith("#version")) {
                continue;
            }
            boolean isPair = merge.size() == 2
                    && merge.get(0).isTextual()
                    && merge.get(1).isTextual();
            String[] pair = isPair
                    ? new String[] {merge.get(0).textValue(), merge.get(1).textValue()}
                    : merge.asText("").split(" ", -1);
            check(pair.length == 2, "model.merges[" + i + "] is not two tokens");
            check(
                    prefix.isEmpty() || pair[1].startsWith(prefix),
                    "model.merges[" + i + "] has a second token without the continuing_subword_prefix " + prefix);
        }
    }

    /** Returns whether a normalizer may delete all of a text that is {@linkplain #isBlank blank}. */
    private static boolean deletes(JsonNode normalizer) {
        return switch (normalizer.path("type").asText()) {
            case "Strip", "StripAccents", "BertNormalizer", "Nmt", "Precompiled" -> true;
            case "Replace" -> normalizer.path("content").asText().isEmpty();
            default ->
                StreamSupport.stream(normalizer.path("normalizers").spliterator(), false)
                        .anyMatch(TokenizerJson::deletes);
        };
    }

    /** Returns whether a text has only spaces, control characters and marks. */
    private static boolean isBlank(String text) {
        return text.codePoints()
                .allMatch(c -> Character.isWhitespace(c)
                        || Character.isSpaceChar(c)
                        || Character.isIdentifierIgnorable(c)
                        || Character.getType(c) == Character.NON_SPACING_MARK
                        || Character.getType(c) == Character.ENCLOSING_MARK
                        || Character.getType(c) == Character.COMBINING_SPACING_MARK);
    }

    /** @param deletes whether a normalized token may become empty, which matches everywhere and makes the library abort */
    private static Set<String> addedTokens(JsonNode added, Map<String, Integer> ids, boolean deletes) {
        check(added.isMissingNode() || added.isArray(), "added_tokens is not a list");
        var special = new LinkedHashSet<String>();
        for (JsonNode token : added) {
            JsonNode content = token.path("content");
            check(content.isTextual(), "added_tokens has a token without content: " + token);
            check(
                    !deletes
                            || content.textValue().isEmpty() // which the library skips
                            || !token.path("normalized").asBoolean(true)
                            || !isBlank(content.textValue()),
                    "added_tokens has a token that the normalizer may delete: " + token
                            + ". Set its \"normalized\" to false");
            ids.put(content.textValue(), id(token.path("id"), "added_tokens"));
            if (token.path("special").booleanValue()) {
                special.add(content.textValue());
            }
        }
        return special;
    }

    private static int id(JsonNode id, String where) {
        check(
                id.isIntegralNumber() && id.canConvertToInt() && id.intValue() >= 0 && id.intValue() <= MAX_ID,
                where + " has " + (id.isMissingNode() ? "no id" : "the id " + id) + ", which must be from 0 to "
                        + MAX_ID);
        return id.intValue();
    }

    private static boolean isAbsent(JsonNode node) {
        return node.isMissingNode() || node.isNull();
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
