package org.nanodo.checkpoint;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * Files of named tensors in the <a href="https://github.com/huggingface/safetensors">safetensors</a> format: the header's
 * length in eight bytes, a JSON header, then the tensors' bytes in little-endian row-major order. Reading trusts nothing:
 * the header is checked against the file's length before any tensor is made.
 */
public final class Safetensors implements AutoCloseable {
    private static final int MAX_HEADER = 100_000_000;
    private static final String METADATA = "__metadata__";
    private static final Map<String, ScalarType> TYPES = Map.of(
            "F64", ScalarType.Double,
            "F32", ScalarType.Float,
            "F16", ScalarType.Half,
            "BF16", ScalarType.BFloat16,
            "I64", ScalarType.Long,
            "I32", ScalarType.Int,
            "I16", ScalarType.Short,
            "I8", ScalarType.Char,
            "U8", ScalarType.Byte,
            "BOOL", ScalarType.Bool);

    /** What the header says of one tensor; offsets count from the end of the header. */
    private record Entry(String dtype, long[] shape, @JsonProperty("data_offsets") long[] offsets) {
        long bytes() {
            return offsets[1] - offsets[0];
        }
    }

    private final Path file;
    private final FileChannel channel;
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private long dataStart;

    private Safetensors(Path file) throws IOException {
        this.file = file;
        this.channel = FileChannel.open(file, StandardOpenOption.READ);
    }

    /** Opens a file and checks its header. @throws CorruptFileException if that is not valid for the file's length */
    public static Safetensors open(Path file) throws IOException {
        var opened = new Safetensors(file);
        try {
            opened.readHeader();
            return opened;
        } catch (IOException | RuntimeException e) {
            opened.close();
            throw e;
        }
    }

    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(metadata);
    }

    public Set<String> names() {
        return Collections.unmodifiableSet(entries.keySet());
    }

    public long[] shape(String name) throws CorruptFileException {
        return entry(name).shape.clone();
    }

    /** Reads one tensor. */
    public Tensor read(String name, Device device) throws IOException {
        Entry entry = entry(name);
        try (var scope = Scope.open()) {
            Tensor host = Tensors.empty(Device.cpu(), TYPES.get(entry.dtype), entry.shape);
            readBytes(entry, host);
            return scope.export(Tensors.to(host, device));
        }
    }

    /** Reads one tensor over an existing one of the same type and shape. */
    public void readInto(String name, Tensor target) throws IOException {
        Entry entry = entry(name);
        if (!Arrays.equals(entry.shape, target.shape()) || TYPES.get(entry.dtype) != target.scalar_type()) {
            throw new CorruptFileException(
                    file,
                    "tensor \"" + name + "\" is " + entry.dtype + Arrays.toString(entry.shape) + ", wanted "
                            + dtype(target) + Arrays.toString(target.shape()));
        }
        try (var scope = Scope.open()) {
            target.detach().copy_(read(name, Device.cpu()));
        }
    }

    /** Writes a new file and forces it to disk. Tensors on a device are copied to the host one at a time. */
    public static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata) throws IOException {
        var header = new LinkedHashMap<String, Object>();
        if (!metadata.isEmpty()) {
            header.put(METADATA, metadata);
        }
        long offset = 0;
        for (var named : tensors.entrySet()) {
            Tensor tensor = named.getValue();
            long end = offset + tensor.nbytes();
            header.put(named.getKey(), new Entry(dtype(tensor), tensor.shape(), new long[] {offset, end}));
            offset = end;
        }
        byte[] json = Json.mapper
                .writer()
                .without(com.fasterxml.jackson.databind.SerializationFeature.INDENT_OUTPUT)
                .writeValueAsBytes(header);
        int length = (json.length + 7) / 8 * 8; // the tensors start at a multiple of eight bytes, after spaces
        ByteBuffer head = ByteBuffer.allocate(8 + length).order(ByteOrder.LITTLE_ENDIAN);
        head.putLong(length).put(json);
        while (head.hasRemaining()) {
            head.put((byte) ' ');
        }
        try (var channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            writeFully(channel, head.flip());
            for (Tensor tensor : tensors.values()) {
                try (var scope = Scope.open()) {
                    Tensor host = Tensors.to(tensor.detach(), Device.cpu()).contiguous();
                    for (ByteBuffer part : views(host)) {
                        writeFully(channel, part);
                    }
                }
            }
            channel.force(true);
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    private void readHeader() throws IOException {
        ByteBuffer head = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
        check(channel.size() >= 8, "is " + channel.size() + " bytes long, too short for a safetensors file");
        readFully(head, 0);
        long length = head.flip().getLong();
        check(
                length > 0 && length <= MAX_HEADER && length <= channel.size() - 8,
                "claims a header of " + Long.toUnsignedString(length) + " bytes in a file of " + channel.size());
        ByteBuffer json = ByteBuffer.allocate((int) length);
        readFully(json, 8);
        dataStart = 8 + length;
        try {
            var root = Json.mapper.readTree(
                    StandardCharsets.UTF_8.newDecoder().decode(json.flip()).toString());
            check(root.isObject(), "has a header that is not a JSON object");
            for (var field : root.properties()) {
                if (field.getKey().equals(METADATA)) {
                    readMetadata(field.getValue());
                } else {
                    entries.put(field.getKey(), Json.mapper.treeToValue(field.getValue(), Entry.class));
                }
            }
        } catch (JsonProcessingException e) {
            throw new CorruptFileException(file, "has a header that does not parse: " + e.getOriginalMessage(), e);
        } catch (java.nio.charset.CharacterCodingException e) {
            throw new CorruptFileException(file, "has a header that is not UTF-8", e);
        }
        checkEntries();
    }

    private void readMetadata(JsonNode node) throws CorruptFileException {
        check(node.isObject(), "has metadata that is not a JSON object");
        for (var field : node.properties()) {
            check(field.getValue().isTextual(), "has metadata \"" + field.getKey() + "\" that is not a string");
            metadata.put(field.getKey(), field.getValue().textValue());
        }
    }

    /** The tensors cover the rest of the file, in order of their offsets, without gap or overlap. */
    private void checkEntries() throws IOException {
        for (var named : entries.entrySet()) {
            String tensor = "tensor \"" + named.getKey() + "\"";
            Entry entry = named.getValue();
            check(entry.dtype != null && TYPES.containsKey(entry.dtype), tensor + " is of unknown type " + entry.dtype);
            check(
                    entry.shape != null && entry.offsets != null && entry.offsets.length == 2,
                    tensor + " lacks a shape or its two offsets");
            long bytes = TYPES.get(entry.dtype) == ScalarType.Bool ? 1 : elementSize(entry.dtype);
            try {
                for (long size : entry.shape) {
                    check(size >= 0, tensor + " has a negative size");
                    bytes = Math.multiplyExact(bytes, size);
                }
            } catch (ArithmeticException e) {
                throw new CorruptFileException(file, tensor + " is larger than any memory", e);
            }
            check(
                    entry.offsets[0] >= 0 && entry.offsets[1] >= entry.offsets[0] && entry.bytes() == bytes,
                    tensor + " is " + entry.dtype + Arrays.toString(entry.shape) + " but has bytes " + entry.offsets[0]
                            + " to " + entry.offsets[1]);
        }
        long end = 0;
        List<Entry> ordered = entries.values().stream()
                .sorted(Comparator.<Entry>comparingLong(entry -> entry.offsets[0])
                        .thenComparingLong(entry -> entry.offsets[1]))
                .toList();
        for (Entry entry : ordered) {
            check(entry.offsets[0] == end, "has a gap or an overlap at data byte " + end);
            end = entry.offsets[1];
        }
        check(
                dataStart + end == channel.size(),
                "is " + channel.size() + " bytes long, its header wants " + (dataStart + end)
                        + (dataStart + end > channel.size() ? ": the file is truncated" : ""));
    }

    private Entry entry(String name) throws CorruptFileException {
        Entry entry = entries.get(name);
        check(entry != null, "has no tensor \"" + name + "\"");
        return entry;
    }

    private void check(boolean holds, String otherwise) throws CorruptFileException {
        if (!holds) {
            throw new CorruptFileException(file, otherwise);
        }
    }

    private void readBytes(Entry entry, Tensor host) throws IOException {
        long position = dataStart + entry.offsets[0];
        for (ByteBuffer part : views(host)) {
            readFully(part, position);
            position += part.capacity();
        }
    }

    private void readFully(ByteBuffer buffer, long position) throws IOException {
        while (buffer.hasRemaining()) {
            int read = channel.read(buffer, position);
            if (read < 0) {
                throw new EOFException(file + " ended while it was read");
            }
            position += read;
        }
    }

    private static void writeFully(FileChannel channel, ByteBuffer buffer) throws IOException {
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
    }

    /** The memory of a contiguous host tensor as buffers, of which each may hold 2 GiB. */
    private static List<ByteBuffer> views(Tensor host) {
        long bytes = host.nbytes();
        int part = 1 << 30;
        var views = new ByteBuffer[(int) ((bytes + part - 1) / part)];
        for (int i = 0; i < views.length; i++) {
            long start = (long) i * part;
            var pointer = new BytePointer(host.data_ptr()).position(start).limit(Math.min(bytes, start + part));
            views[i] = pointer.asByteBuffer();
        }
        return List.of(views);
    }

    private static long elementSize(String dtype) {
        return Integer.parseInt(dtype.replaceAll("\\D", "")) / 8;
    }

    private static String dtype(Tensor tensor) {
        ScalarType type = tensor.scalar_type();
        for (var named : TYPES.entrySet()) {
            if (named.getValue() == type) {
                return named.getKey();
            }
        }
        throw new IllegalArgumentException("The safetensors format has no type for " + type);
    }
}
