package org.nanodo.files;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import com.fasterxml.jackson.databind.exc.ValueInstantiationException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Records to JSON and back, strictly: an unknown or missing field, a repeated key or a value of another type is an error. */
public final class Json {
    static final ObjectMapper mapper = strict().build();

    /** A manifest of 100,000 files has a fifth of it. */
    private static final long MAX_BYTES = 64 << 20;

    private Json() {}

    /** For records whose JSON is read as strictly, but under other names, say. */
    public static JsonMapper.Builder strict() {
        return JsonMapper.builder()
                .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
                .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                .enable(DeserializationFeature.FAIL_ON_NUMBERS_FOR_ENUMS)
                .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
                .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
                .enable(SerializationFeature.INDENT_OUTPUT);
    }

    public static String write(Object value) {
        return write(value, mapper.writer());
    }

    /** Without a line break. */
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
        try {
            Object value = mapper.readValue(json, (Class<?>) type);
            if (!type.isInstance(value)) { // a NullNode, say, which is no ObjectNode
                throw new IllegalArgumentException("Not a valid " + type.getSimpleName() + ": it is " + value);
            }
            return type.cast(value);
        } catch (UnrecognizedPropertyException e) {
            throw new IllegalArgumentException(
                    "Not a valid " + type.getSimpleName() + ": there is no \"" + e.getPropertyName() + "\" in one, but "
                            + e.getKnownPropertyIds(),
                    e);
        } catch (ValueInstantiationException e) { // what the record's own constructor says
            throw new IllegalArgumentException(
                    "Not a valid " + type.getSimpleName() + ": " + e.getCause().getMessage(), e);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(
                    "Not a valid " + type.getSimpleName() + ": " + e.getOriginalMessage(), e);
        }
    }

    /** A file with an object whose values are strings. */
    public static Map<String, String> readStrings(Path file) throws IOException {
        try {
            Map<String, String> strings = mapper.readValue(text(file), new TypeReference<>() {});
            if (strings == null || strings.containsValue(null)) {
                throw new CorruptFileException(file, "not strings by name: there is a null");
            }
            return strings;
        } catch (JsonProcessingException e) {
            throw new CorruptFileException(file, "not strings by name: " + e.getOriginalMessage(), e);
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

    /** A file's whole text. @throws CorruptFileException if it is not UTF-8, or longer than any of ours */
    public static String text(Path file) throws IOException {
        long length = Files.size(file);
        if (length > MAX_BYTES) {
            throw new CorruptFileException(
                    file, "has " + length + " bytes, a file of JSON may have " + MAX_BYTES + ": is it the right file?");
        }
        try {
            return Files.readString(file);
        } catch (CharacterCodingException e) {
            throw new CorruptFileException(file, "is not UTF-8", e);
        }
    }
}
