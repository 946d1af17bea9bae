package org.nanodo.files;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.Map;

/** A directory that {@link AtomicDirectory} is creating. Files are hashed for its manifest while they are written. */
public final class NewDirectory {
    private final Path path;
    private final Map<String, Manifest.Entry> written = new LinkedHashMap<>();

    NewDirectory(Path path) {
        this.path = path;
    }

    /** Creates a file and opens it. Closing the channel forces it to the disk. */
    public WritableByteChannel file(String name) throws IOException {
        return new HashedFile(name);
    }

    /** Creates a file with this text. */
    public void write(String name, String text) throws IOException {
        try (var file = file(name)) {
            file.write(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)));
        }
    }

    /** Moves the files of a finished directory into this one and deletes the other. */
    public void adopt(Path other) throws IOException {
        if (!Files.exists(other)) {
            throw new IOException(
                    other + " does not exist here, though another rank has written it: all ranks must share"
                            + " one directory");
        }
        Map<String, Manifest.Entry> files = Manifest.read(other).files();
        for (String name : files.keySet()) {
            Files.move(other.resolve(name), path.resolve(name));
        }
        written.putAll(files);
        AtomicDirectory.delete(other);
    }

    void writeManifest() throws IOException {
        write(Manifest.NAME, Json.write(new Manifest(written)) + "\n");
    }

    private final class HashedFile implements WritableByteChannel {
        /** Small enough that a chunk is still in the cache when it is written after hashing. */
        private static final int CHUNK = 1 << 18;

        private final String name;
        private final FileChannel channel;
        private final MessageDigest digest = Bytes.newSha256();
        private long length;

        HashedFile(String name) throws IOException {
            this.name = name;
            channel = FileChannel.open(path.resolve(name), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        }

        @Override
        public int write(ByteBuffer bytes) throws IOException {
            int count = bytes.remaining();
            while (bytes.hasRemaining()) {
                ByteBuffer chunk = bytes.slice(bytes.position(), Math.min(CHUNK, bytes.remaining()));
                digest.update(chunk.duplicate());
                try {
                    while (chunk.hasRemaining()) {
                        channel.write(chunk);
                    }
                } catch (IOException e) {
                    throw named(e);
                }
                bytes.position(bytes.position() + chunk.capacity());
            }
            length += count;
            return count;
        }

        @Override
        public boolean isOpen() {
            return channel.isOpen();
        }

        @Override
        public void close() throws IOException {
            try (channel) {
                channel.force(true);
                written.put(name, Manifest.Entry.of(length, digest));
            } catch (IOException e) {
                throw named(e);
            }
        }

        /** Names the file, which a message of the system such as "No space left on device" does not. */
        private IOException named(IOException e) {
            return new IOException(path.resolve(name) + " cannot be written: " + e, e);
        }
    }
}
