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
 * A file to which whole records are appended. A record that cannot be written is logged and lost, and leaves no part behind. It is
 * an error if the file was moved or removed, or if another process writes to it, so each record costs a check of name and size.
 */
final class RecordFile implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(RecordFile.class);

    /** Opens a file to read and write, and creates it if it does not exist. */
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

    /** @throws UncheckedIOException if the file or its directory cannot be written */
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

    static SeekableByteChannel open(Path path) throws IOException {
        return Files.newByteChannel(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
    }

    /** @throws IllegalStateException if the file was moved or removed, or another process wrote to it */
    void append(byte[] record) {
        try {
            checkNotMoved();
            if (channel == null) {
                channel = opener.open(path);
                end = Math.min(end, channel.size());
                channel.truncate(end);
            }
            if (channel.size() != end) {
                throw new IllegalStateException(path + " has " + channel.size() + " bytes, but this run has written "
                        + end + ": another process writes to it, use a file for each run");
            }
            channel.position(end);
            for (var bytes = ByteBuffer.wrap(record); bytes.hasRemaining(); ) {
                channel.write(bytes);
            }
            end += record.length;
            if (lost > 0) {
                log.warn("Metrics are written to {} again, {} records are missing", path, lost);
                lost = 0;
            }
        } catch (IOException e) {
            if (lost == 0) {
                log.error("Cannot write metrics to {}, training continues without them: {}", path, e.toString());
            }
            lost++;
            closeCutOff();
        }
    }

    private void checkNotMoved() throws IOException {
        Object found;
        try {
            found = fileKey(path);
        } catch (NoSuchFileException e) {
            throw new IllegalStateException(
                    path + " was moved or removed while the run was writing to it: move it back and resume", e);
        }
        if (!Objects.equals(found, fileKey)) {
            throw new IllegalStateException(
                    path + " is not the file that the run was writing to: move that file back and resume");
        }
    }

    /** Returns null on Windows, where an open file cannot be moved. */
    private static Object fileKey(Path path) throws IOException {
        return Files.readAttributes(path, BasicFileAttributes.class).fileKey();
    }

    /** Closes the file. It is reopened for the next record, because an interrupt or a lost server may have closed it. */
    private void closeCutOff() {
        try (var closing = channel) {
            if (closing != null && closing.isOpen()) {
                closing.truncate(end);
            }
        } catch (IOException e) {
            // The file is truncated when it is reopened.
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
