package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.files.Bytes;
import org.nanodo.files.CorruptFileException;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * A file of named tensors in the <a href="https://github.com/huggingface/safetensors">safetensors</a> format: the header's
 * length in eight bytes, a JSON header, then the tensors' little-endian values in row-major order. The header is checked against
 * the file's length before any tensor is allocated.
 */
public final class Safetensors implements AutoCloseable {
    private static final int MAX_HEADER = 100_000_000;
    private static final int ALIGNMENT = 8;

    private final Path file;
    private final FileChannel channel;
    private final SafetensorsHeader header;
    private final long dataStart;
    private volatile boolean closed;

    private Safetensors(Path file, FileChannel channel) throws IOException {
        this.file = file;
        this.channel = channel;
        long size = channel.size();
        if (size < Long.BYTES) {
            throw new CorruptFileException(file, "is " + size + " bytes long, too short for a safetensors file");
        }
        long length = ByteBuffer.wrap(Bytes.read(file, channel, 0, Long.BYTES))
                .order(ByteOrder.LITTLE_ENDIAN)
                .getLong();
        if (length < 0 || length > Math.min(MAX_HEADER, size - Long.BYTES)) {
            throw new CorruptFileException(
                    file, "claims a header of " + Long.toUnsignedString(length) + " bytes in a file of " + size);
        }
        dataStart = Long.BYTES + length;
        header = SafetensorsHeader.parse(file, Bytes.read(file, channel, Long.BYTES, (int) length), size - dataStart);
    }

    /** Opens a file. @throws CorruptFileException if its header is not valid, or does not fit the file's length */
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

    /** Returns the tensors' names in the file's order. */
    public Set<String> names() {
        return Collections.unmodifiableSet(header.entries().keySet());
    }

    public long[] shape(String name) throws CorruptFileException {
        return entry(name).shape().clone();
    }

    public ScalarType type(String name) throws CorruptFileException {
        return entry(name).scalarType();
    }

    /** Reads a tensor. */
    public Tensor read(String name, Device device) throws IOException {
        SafetensorsHeader.Entry entry = entry(name);
        try (var scope = Scope.open()) {
            Tensor host = Tensors.empty(Device.cpu(), entry.scalarType(), entry.shape());
            copy(entry, 0, host);
            return scope.export(Tensors.to(host, device));
        }
    }

    /**
     * Reads a range of a tensor's elements.
     *
     * @param first the index of the first element in row-major order
     * @param target a contiguous tensor of the same type, whose elements are all replaced
     */
    void readInto(String name, long first, Tensor target) throws IOException {
        SafetensorsHeader.Entry entry = entry(name);
        if (target.is_cuda()) {
            try (var scope = Scope.open()) {
                Tensor host = Tensors.empty(Device.cpu(), entry.scalarType(), target.shape());
                copy(entry, first, host);
                target.copy_(host);
            }
        } else {
            copy(entry, first, target);
        }
    }

    /** Copies elements from the file to a tensor on the host. */
    private void copy(SafetensorsHeader.Entry entry, long first, Tensor host) throws IOException {
        try {
            copyMapped(entry, first, host);
        } catch (ClosedChannelException e) { // by close() on any thread, or by an interrupt of a reading thread
            if (closed) {
                throw new IllegalStateException(file + " is closed: open it again", e);
            }
            throw e;
        }
    }

    private void copyMapped(SafetensorsHeader.Entry entry, long first, Tensor host) throws IOException {
        long position = dataStart + entry.offsets()[0] + first * host.element_size();
        for (ByteBuffer part : Tensors.memory(host)) {
            int length = part.remaining();
            if (channel.size() < position + length) {
                throw new CorruptFileException(file, "became shorter while it was read");
            }
            try {
                part.put(channel.map(FileChannel.MapMode.READ_ONLY, position, length));
            } catch (InternalError e) { // thrown by the JVM for a mapped page that cannot be read
                throw new CorruptFileException(file, "became shorter, or its disk failed, while it was read", e);
            }
            position += length;
        }
    }

    /**
     * Creates a file, which appears under its name when it is complete. Tensors on a GPU are copied to the host one at a time.
     *
     * @throws FileAlreadyExistsException if the name is taken
     */
    public static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata) throws IOException {
        if (Files.exists(file)) {
            throw new FileAlreadyExistsException(file + " exists: delete it or choose another name");
        }
        Path unfinished = file.resolveSibling(file.getFileName() + ".unfinished");
        try {
            try (var channel = FileChannel.open(
                    unfinished,
                    StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING,
                    StandardOpenOption.WRITE)) {
                write(channel, tensors, metadata);
                channel.force(true);
            } catch (IOException e) {
                throw new IOException(file + " cannot be written: " + e, e);
            }
            Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(unfinished);
        }
    }

    static void write(WritableByteChannel channel, Map<String, Tensor> tensors, Map<String, String> metadata)
            throws IOException {
        byte[] json = SafetensorsHeader.of(tensors, metadata).toJson();
        int length = (json.length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (length > MAX_HEADER) {
            throw new IllegalArgumentException(tensors.size() + " tensors need a header of " + length
                    + " bytes, but the format allows " + MAX_HEADER);
        }
        ByteBuffer head = ByteBuffer.allocate(Long.BYTES + length).order(ByteOrder.LITTLE_ENDIAN);
        head.putLong(length).put(json);
        while (head.hasRemaining()) {
            head.put((byte) ' ');
        }
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

    @Override
    public void close() throws IOException {
        closed = true;
        channel.close();
    }

    private SafetensorsHeader.Entry entry(String name) throws CorruptFileException {
        SafetensorsHeader.Entry entry = header.entries().get(name);
        if (entry == null) {
            throw new CorruptFileException(file, "has no tensor \"" + name + "\"");
        }
        return entry;
    }

    private static void writeFully(WritableByteChannel channel, ByteBuffer buffer) throws IOException {
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
    }
}
