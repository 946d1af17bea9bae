package org.nanodo.checkpoint;

import com.fasterxml.jackson.annotation.JsonAnyGetter;
import com.fasterxml.jackson.annotation.JsonAnySetter;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonSetter;
import com.fasterxml.jackson.annotation.Nulls;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.files.Bytes;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Json;
import org.nanodo.runtime.Tensors;

/** The JSON at the beginning of a safetensors file: the tensors' entries by name, in the file's order, and metadata. */
final class SafetensorsHeader {
    private static final int MAX_DIMENSIONS = 64; // LibTorch's

    @JsonProperty("__metadata__")
    @JsonInclude(JsonInclude.Include.NON_EMPTY)
    @JsonSetter(nulls = Nulls.FAIL, contentNulls = Nulls.FAIL)
    private Map<String, String> metadata = Map.of();

    @JsonAnyGetter
    @JsonAnySetter
    private Map<String, Entry> entries = new LinkedHashMap<>();

    private enum Type {
        F64(ScalarType.Double, 8),
        F32(ScalarType.Float, 4),
        F16(ScalarType.Half, 2),
        BF16(ScalarType.BFloat16, 2),
        I64(ScalarType.Long, 8),
        I32(ScalarType.Int, 4),
        I16(ScalarType.Short, 2),
        I8(ScalarType.Char, 1),
        U8(ScalarType.Byte, 1),
        BOOL(ScalarType.Bool, 1);

        private final ScalarType scalarType;
        private final int bytes;

        Type(ScalarType scalarType, int bytes) {
            this.scalarType = scalarType;
            this.bytes = bytes;
        }

        static Type of(ScalarType scalarType) {
            return Arrays.stream(values())
                    .filter(type -> type.scalarType == scalarType)
                    .findFirst()
                    .orElseThrow(
                            () -> new IllegalArgumentException("The safetensors format has no type for " + scalarType));
        }
    }

    /** A tensor's type, shape, and the offsets of its first byte and of the end, counted from the end of the header. */
    record Entry(Type dtype, long[] shape, @JsonProperty("data_offsets") long[] offsets) {
        ScalarType scalarType() {
            return dtype.scalarType;
        }

        @Override
        public String toString() {
            return dtype + Arrays.toString(shape);
        }
    }

    /** Creates a header for tensors that are stored one after another. */
    static SafetensorsHeader of(Map<String, Tensor> tensors, Map<String, String> metadata) {
        var header = new SafetensorsHeader();
        header.metadata = metadata;
        long offset = 0;
        for (var named : tensors.entrySet()) {
            Tensor tensor = named.getValue();
            long end = offset + tensor.nbytes();
            header.entries.put(
                    named.getKey(), new Entry(Type.of(Tensors.type(tensor)), tensor.shape(), new long[] {offset, end}));
            offset = end;
        }
        return header;
    }

    Map<String, String> metadata() {
        return metadata;
    }

    Map<String, Entry> entries() {
        return entries;
    }

    byte[] toJson() {
        return Json.writeLine(this).getBytes(StandardCharsets.UTF_8);
    }

    /**
     * Parses and checks a header.
     *
     * @param file for messages
     * @param dataBytes the number of bytes that follow the header: the tensors must cover them without gap or overlap
     */
    static SafetensorsHeader parse(Path file, byte[] utf8, long dataBytes) throws CorruptFileException {
        check(utf8.length > 0 && utf8[0] == '{', file, "has a header that is not a JSON object");
        SafetensorsHeader header;
        try {
            header = Json.read(Bytes.utf8(utf8), SafetensorsHeader.class);
        } catch (CharacterCodingException e) {
            throw new CorruptFileException(file, "has a header that is not UTF-8", e);
        } catch (IllegalArgumentException e) {
            throw new CorruptFileException(file, "has a header that does not parse: " + e.getMessage(), e);
        }
        for (var named : header.entries.entrySet()) {
            checkEntry(file, "tensor \"" + named.getKey() + "\"", named.getValue());
        }
        header.checkCover(file, dataBytes);
        return header;
    }

    private static void checkEntry(Path file, String tensor, Entry entry) throws CorruptFileException {
        check(
                entry != null
                        && entry.dtype != null
                        && entry.shape != null
                        && entry.offsets != null
                        && entry.offsets.length == 2,
                file,
                tensor + " lacks a type, a shape or two offsets");
        check(
                entry.shape.length <= MAX_DIMENSIONS,
                file,
                tensor + " has " + entry.shape.length + " dimensions, more than the maximum of " + MAX_DIMENSIONS);
        long bytes = entry.dtype.bytes;
        try {
            for (long size : entry.shape) {
                check(size >= 0, file, tensor + " has a negative size");
                bytes = Math.multiplyExact(bytes, size);
            }
        } catch (ArithmeticException e) {
            throw new CorruptFileException(file, tensor + " is larger than any memory", e);
        }
        long from = entry.offsets[0];
        long to = entry.offsets[1];
        check(
                from >= 0 && to >= from && to - from == bytes,
                file,
                tensor + " is " + entry + " but occupies the bytes " + from + " to " + to);
    }

    private void checkCover(Path file, long dataBytes) throws CorruptFileException {
        List<Entry> ordered = entries.values().stream()
                .sorted(Comparator.<Entry>comparingLong(entry -> entry.offsets[0])
                        .thenComparingLong(entry -> entry.offsets[1]))
                .toList();
        long end = 0;
        for (Entry entry : ordered) {
            check(entry.offsets[0] == end, file, "has a gap or an overlap at byte " + end + " of its data");
            end = entry.offsets[1];
        }
        check(
                end == dataBytes,
                file,
                "has " + dataBytes + " bytes of data, but its header requires " + end
                        + (end > dataBytes ? ": it is truncated" : ""));
    }

    private static void check(boolean holds, Path file, String otherwise) throws CorruptFileException {
        if (!holds) {
            throw new CorruptFileException(file, otherwise);
        }
    }
}
