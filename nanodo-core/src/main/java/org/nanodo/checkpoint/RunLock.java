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

/** Holds a directory for one run, by the operating system's lock on a file in it, which dies with the process. */
public final class RunLock implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(RunLock.class);
    private static final String FILE = "lock";

    /** The system gives a lock up when its process closes any channel to the file, so there must not be a second one. */
    private static final Set<Path> heldHere = ConcurrentHashMap.newKeySet();

    private final Path folder;
    private final FileChannel channel;
    private final Object fileKey;

    private RunLock(Path folder, FileChannel channel, Object fileKey) {
        this.folder = folder;
        this.channel = channel;
        this.fileKey = fileKey;
    }

    /**
     * Creates the directory where there is none.
     *
     * @throws IllegalStateException if another run holds the directory
     * @throws IOException if nothing can be written there
     */
    public static RunLock take(Path directory) throws IOException {
        Path folder;
        try {
            folder = Files.createDirectories(directory).toRealPath();
        } catch (IOException e) {
            throw unwritable(directory, e);
        }
        if (!heldHere.add(folder)) {
            throw inUse(directory);
        }
        RunLock lock;
        try {
            Path file = folder.resolve(FILE);
            var channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            lock = new RunLock(folder, channel, fileKey(file));
        } catch (IOException e) {
            heldHere.remove(folder);
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
        Path file = folder.resolve(FILE);
        if (!Files.exists(file) || !Objects.equals(fileKey(file), fileKey)) {
            throw new NoSuchFileException(folder + " was moved or removed, or its file \"" + FILE
                    + "\" was, while this run was writing to it: move it back and resume");
        }
    }

    /** Null on Windows, which lets nobody move what is open. */
    private static Object fileKey(Path file) throws IOException {
        return Files.readAttributes(file, BasicFileAttributes.class).fileKey();
    }

    private static boolean tryLock(FileChannel channel, Path directory) {
        try {
            return channel.tryLock() != null;
        } catch (IOException e) { // some network file systems have no locks
            log.warn("{} cannot be locked ({}): nothing keeps a second run out of it", directory, e.getMessage());
            return true;
        }
    }

    private static IOException unwritable(Path directory, IOException e) {
        return new IOException("Nothing can be written to " + directory + ": " + e, e);
    }

    private static IllegalStateException inUse(Path directory) {
        return new IllegalStateException(
                "Another run is writing to " + directory + ": wait for its end, or choose another directory");
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            log.warn("{} stays locked until this process ends: {}", folder, e.toString());
        }
        heldHere.remove(folder);
    }
}
