package org.nanodo.checkpoint;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * Files of named tensors in the <a href="https://github.com/huggingface/safetensors">safetensors</a> format: the header's
 * length in eight bytes, a JSON header, then the tensors' bytes in little-endian row-major order. Reading trusts nothing:
 * the header is checked against the file's length before any tensor is made.
 */
public final class Safetensors implements AutoCloseable {
    private static final int MAX_HEADER = 100_000_000;
    private static final int ALIGNMENT = 8;

    private final Path file;
    private final FileChannel channel;
    private final SafetensorsHeader header;
    private final long dataStart;

    private Safetensors(Path file, FileChannel channel) throws IOException {
        this.file = file;
        this.channel = channel;
        long size = channel.size();
        if (size < Long.BYTES) {
            throw new CorruptFileException(file, "is " + size + " bytes long, too short for a safetensors file");
        }
        ByteBuffer prefix = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        readFully(prefix, 0);
        long length = prefix.flip().getLong();
        if (length < 0 || length > Math.min(MAX_HEADER, size - Long.BYTES)) {
            throw new CorruptFileException(
                    file, "claims a header of " + Long.toUnsignedString(length) + " bytes in a file of " + size);
        }
        ByteBuffer json = ByteBuffer.allocate((int) length);
        readFully(json, Long.BYTES);
        dataStart = Long.BYTES + length;
        header = SafetensorsHeader.parse(file, json.flip(), size - dataStart);
    }

    /** Opens a file. @throws CorruptFileException if its header is not valid, or not for a file of this length */
    public static Safetensors open(Path file) throws IOException {
        FileChannel channel = FileChannel.open(file, StandardOpenOption.READ);
        try {
            return new Safetensors(file, channel);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(header.metadata());
    }

    /** The tensors' names in the file's order. */
    public Set<String> names() {
        return Collections.unmodifiableSet(header.entries().keySet());
    }

    public long[] shape(String name) throws CorruptFileException {
        return entry(name).shape().clone();
    }

    /** Reads one tensor. */
    public Tensor read(String name, Device device) throws IOException {
        SafetensorsHeader.Entry entry = entry(name);
        try (var scope = Scope.open()) {
            Tensor host = Tensors.empty(Device.cpu(), entry.scalarType(), entry.shape());
            long position = dataStart + entry.offsets()[0];
            for (ByteBuffer part : Tensors.memory(host)) {
                readFully(part, position);
                position += part.capacity();
            }
            return scope.export(Tensors.to(host, device));
        }
    }

    /** Reads one tensor over an existing one of the same type and shape. */
    public void readInto(String name, Tensor target) throws IOException {
        SafetensorsHeader.Entry entry = entry(name);
        if (!entry.describes(target)) {
            throw new CorruptFileException(
                    file,
                    "tensor \"" + name + "\" is " + entry + ", wanted is "
                            + Tensors.type(target).name() + Arrays.toString(target.shape()));
        }
        try (var scope = Scope.open();
                var off = Grad.off()) {
            target.copy_(read(name, Device.cpu()));
        }
    }

    /** Writes a new file. Tensors on a device pass through the host one at a time. */
    public static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata) throws IOException {
        byte[] json = SafetensorsHeader.of(tensors, metadata).toJson();
        int length = (json.length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        ByteBuffer head = ByteBuffer.allocate(Long.BYTES + length).order(ByteOrder.LITTLE_ENDIAN);
        head.putLong(length).put(json);
        while (head.hasRemaining()) {
            head.put((byte) ' ');
        }
        try (var channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            writeFully(channel, head.flip());
            for (Tensor tensor : tensors.values()) {
                try (var scope = Scope.open()) {
                    Tensor host = Tensors.to(tensor.detach(), Device.cpu()).contiguous();
                    for (ByteBuffer part : Tensors.memory(host)) {
                        writeFully(channel, part);
                    }
                }
            }
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    private SafetensorsHeader.Entry entry(String name) throws CorruptFileException {
        SafetensorsHeader.Entry entry = header.entries().get(name);
        if (entry == null) {
            throw new CorruptFileException(file, "has no tensor \"" + name + "\"");
        }
        return entry;
    }

    private void readFully(ByteBuffer buffer, long position) throws IOException {
        while (buffer.hasRemaining()) {
            int read = channel.read(buffer, position);
            if (read < 0) {
                throw new EOFException(file + " became shorter while it was read");
            }
            position += read;
        }
    }

    private static void writeFully(FileChannel channel, ByteBuffer buffer) throws IOException {
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
    }
}
