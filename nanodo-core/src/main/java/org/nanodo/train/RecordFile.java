package org.nanodo.train;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A file that grows by whole records. One that cannot be written is logged and lost, and leaves no part of it behind. */
final class RecordFile implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(RecordFile.class);

    /** Opens a file to read and write, and makes it where there is none. */
    @FunctionalInterface
    interface Opener {
        SeekableByteChannel open(Path path) throws IOException;
    }

    private final Path path;
    private final Opener opener;
    private SeekableByteChannel channel;
    private long end;
    private long lost;

    /** @throws UncheckedIOException if the file or its folder cannot be written */
    RecordFile(Path path) {
        this(
                path,
                p -> Files.newByteChannel(
                        p, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE));
    }

    RecordFile(Path path, Opener opener) {
        this.path = path;
        this.opener = opener;
        try {
            Files.createDirectories(path.toAbsolutePath().getParent());
            channel = opener.open(path);
            end = channel.size();
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot write metrics to " + path + ": " + e, e);
        }
    }

    SeekableByteChannel channel() {
        return channel;
    }

    /** Forgets all from there on. */
    void truncate(long size) throws IOException {
        channel.truncate(size);
        end = size;
    }

    void append(byte[] record) {
        try {
            if (channel == null) {
                channel = opener.open(path);
                end = Math.min(end, channel.size());
                channel.truncate(end);
            }
            channel.position(end);
            for (var bytes = ByteBuffer.wrap(record); bytes.hasRemaining(); ) {
                channel.write(bytes);
            }
            end += record.length;
            if (lost > 0) {
                log.warn("Metrics go to {} again, {} records are missing there", path, lost);
                lost = 0;
            }
        } catch (IOException e) {
            if (lost == 0) {
                log.error("Cannot write metrics to {}, training goes on without: {}", path, e.toString());
            }
            lost++;
            closeCutOff();
        }
    }

    /** Opened anew next time, a file works again that was closed by an interrupt or a server that came back. */
    private void closeCutOff() {
        try (var closing = channel) {
            if (closing != null && closing.isOpen()) {
                closing.truncate(end);
            }
        } catch (IOException e) {
            // The next record finds it still too long.
        }
        channel = null;
    }

    @Override
    public void close() {
        if (lost > 0) {
            log.error("{} records of metrics are missing in {}", lost, path);
        }
        closeCutOff();
    }
}
