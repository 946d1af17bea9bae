package org.nanodo.files;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.cfg.CoercionAction;
import com.fasterxml.jackson.databind.cfg.CoercionInputShape;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import com.fasterxml.jackson.databind.exc.ValueInstantiationException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.type.LogicalType;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Converts records to JSON and back. Reading is strict: unknown, missing or repeated fields and wrong types are errors. */
public final class Json {
    /** A manifest of 100,000 files has a fifth of this. */
    private static final long MAX_BYTES = 64 << 20;

    /** No valid file is nested as deeply, and code may recurse over a tree that was read. */
    private static final int MAX_DEPTH = 64;

    private static final ObjectMapper mapper = strict().build();

    private Json() {}

    /** Returns a builder of mappers that read as strictly, for callers who must configure more. */
    public static JsonMapper.Builder strict() {
        var limits = StreamReadConstraints.builder().maxNestingDepth(MAX_DEPTH).build();
        return JsonMapper.builder(
                        JsonFactory.builder().streamReadConstraints(limits).build())
                .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
                .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                .enable(DeserializationFeature.FAIL_ON_NUMBERS_FOR_ENUMS)
                .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
                .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
                .withCoercionConfig(LogicalType.Textual, numbersAreNoText -> numbersAreNoText
                        .setCoercion(CoercionInputShape.Integer, CoercionAction.Fail)
                        .setCoercion(CoercionInputShape.Float, CoercionAction.Fail)
                        .setCoercion(CoercionInputShape.Boolean, CoercionAction.Fail))
                .enable(SerializationFeature.INDENT_OUTPUT);
    }

    /** Writes a value as indented JSON. */
    public static String write(Object value) {
        return write(value, mapper.writer());
    }

    /** Writes a value as JSON without line breaks. */
    public static String writeLine(Object value) {
        return write(value, mapper.writer().without(SerializationFeature.INDENT_OUTPUT));
    }

    private static String write(Object value, ObjectWriter writer) {
        try {
            return writer.writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(value.getClass() + " has no JSON form", e);
        }
    }

    /** @throws IllegalArgumentException if the text is not JSON, or not of this type, or null */
    public static <T> T read(String json, Class<T> type) {
        String problem = "Not a valid " + (JsonNode.class.isAssignableFrom(type) ? "JSON value" : type.getSimpleName());
        try {
            Object value = mapper.readValue(json, (Class<?>) type);
            if (!type.isInstance(value)) { // a NullNode, for example, is no ObjectNode
                throw new IllegalArgumentException(problem + ": it is " + value);
            }
            return type.cast(value);
        } catch (UnrecognizedPropertyException e) {
            throw new IllegalArgumentException(
                    problem + ": it has no field \"" + e.getPropertyName() + "\", its fields are "
                            + e.getKnownPropertyIds(),
                    e);
        } catch (ValueInstantiationException e) { // thrown by the record's own constructor
            throw new IllegalArgumentException(problem + ": " + e.getCause().getMessage(), e);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(problem + ": " + message(e), e);
        }
    }

    private static String message(JsonProcessingException e) {
        var at = e.getLocation();
        return e.getOriginalMessage()
                + (at == null ? "" : " at line " + at.getLineNr() + ", column " + at.getColumnNr());
    }

    /** Reads a file of one object whose values are strings. */
    public static Map<String, String> readStrings(Path file) throws IOException {
        try {
            Map<String, String> strings = mapper.readValue(text(file), new TypeReference<>() {});
            if (strings == null || strings.containsValue(null)) {
                throw new CorruptFileException(file, "not an object of strings: it has a null");
            }
            return strings;
        } catch (JsonProcessingException e) {
            throw new CorruptFileException(file, "not an object of strings: " + message(e), e);
        }
    }

    /** @throws CorruptFileException if the file's text is not JSON, or not of this type */
    public static <T> T read(Path file, Class<T> type) throws IOException {
        try {
            return read(text(file), type);
        } catch (IllegalArgumentException e) {
            throw new CorruptFileException(file, e.getMessage(), e);
        }
    }

    /** Reads a file's whole text. @throws CorruptFileException if it is not UTF-8, or too long to be a file of JSON */
    public static String text(Path file) throws IOException {
        long length = Files.size(file);
        if (length > MAX_BYTES) {
            throw new CorruptFileException(
                    file,
                    "has " + length + " bytes, more than the " + MAX_BYTES
                            + " allowed for a file of JSON: is it the right file?");
        }
        try {
            return Files.readString(file);
        } catch (CharacterCodingException e) {
            throw new CorruptFileException(file, "is not UTF-8", e);
        }
    }
}
