package org.nanodo.metrics;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Objects;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A file that grows by whole records. One that cannot be written is logged and lost, and leaves no part of it behind. That the
 * file is no longer there, or that somebody else writes to it, is an error: each record costs a look at its name and size.
 */
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
    private Object fileKey;
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
            fileKey = fileKey(path);
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

    /** @throws IllegalStateException if the file was moved or removed, or written to by somebody else */
    void append(byte[] record) {
        try {
            checkIsHere();
            if (channel == null) {
                channel = opener.open(path);
                end = Math.min(end, channel.size());
                channel.truncate(end);
            }
            if (channel.size() != end) {
                throw new IllegalStateException(path + " has " + channel.size() + " bytes where this run has written "
                        + end + ": something else has written to it, choose a file for each run");
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

    private void checkIsHere() throws IOException {
        Object found;
        try {
            found = fileKey(path);
        } catch (NoSuchFileException e) {
            throw new IllegalStateException(
                    path + " was moved or removed while the run was writing to it: move it back and resume", e);
        }
        if (!Objects.equals(found, fileKey)) {
            throw new IllegalStateException(
                    path + " is another file than the one that the run was writing to: move that back and resume");
        }
    }

    /** Null on Windows, which lets nobody move what is open. */
    private static Object fileKey(Path path) throws IOException {
        return Files.readAttributes(path, BasicFileAttributes.class).fileKey();
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
        try (var closing = channel) {
            channel = null;
        } catch (IOException e) {
            log.warn("{} cannot be closed: {}", path, e.toString());
        }
    }
}
