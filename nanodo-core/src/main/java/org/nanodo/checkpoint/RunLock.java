package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Reserves a directory for one run by the operating system's lock on a file in it, which is released when the process ends. */
public final class RunLock implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(RunLock.class);
    private static final String FILE = "lock";

    /** The directories that this process has locked. Closing a second channel to a lock's file would release the lock. */
    private static final Set<Path> held = ConcurrentHashMap.newKeySet();

    private final Path path;
    private final FileChannel channel;
    private final Object fileKey;

    private RunLock(Path path, FileChannel channel, Object fileKey) {
        this.path = path;
        this.channel = channel;
        this.fileKey = fileKey;
    }

    /**
     * Locks a directory, which is created if it does not exist.
     *
     * @throws IllegalStateException if another run uses the directory
     * @throws IOException if the directory cannot be written to
     */
    public static RunLock take(Path directory) throws IOException {
        Path path;
        try {
            path = Files.createDirectories(directory).toRealPath();
        } catch (IOException e) {
            throw unwritable(directory, e);
        }
        if (!held.add(path)) {
            throw inUse(directory);
        }
        RunLock lock;
        try {
            Path file = path.resolve(FILE);
            var channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            lock = new RunLock(path, channel, fileKey(file));
        } catch (IOException e) {
            held.remove(path);
            throw unwritable(directory, e);
        }
        if (!tryLock(lock.channel, directory)) {
            lock.close();
            throw inUse(directory);
        }
        return lock;
    }

    /** @throws NoSuchFileException if the directory is no longer the one that was locked */
    void check() throws IOException {
        Path file = path.resolve(FILE);
        if (!Files.exists(file) || !Objects.equals(fileKey(file), fileKey)) {
            throw new NoSuchFileException(path + " was moved or removed, or its file \"" + FILE
                    + "\" was, while this run was writing to it: move it back and resume");
        }
    }

    /** Returns a file's identity, or null on Windows, where an open file cannot be moved. */
    private static Object fileKey(Path file) throws IOException {
        return Files.readAttributes(file, BasicFileAttributes.class).fileKey();
    }

    private static boolean tryLock(FileChannel channel, Path directory) {
        try {
            return channel.tryLock() != null;
        } catch (IOException e) { // some network file systems do not support locks
            log.warn("{} cannot be locked ({}): make sure that no second run uses it", directory, e.getMessage());
            return true;
        }
    }

    private static IOException unwritable(Path directory, IOException e) {
        return new IOException("Nothing can be written to " + directory + ": " + e, e);
    }

    private static IllegalStateException inUse(Path directory) {
        return new IllegalStateException(
                "Another run is writing to " + directory + ": wait until it ends, or choose another directory");
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            log.warn("{} stays locked until this process ends: {}", path, e.toString());
        }
        held.remove(path);
    }
}
