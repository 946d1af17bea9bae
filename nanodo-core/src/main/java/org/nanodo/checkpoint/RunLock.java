package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Holds a folder for one run, by the operating system's lock on a file in it, which dies with the process. */
final class RunLock implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(RunLock.class);
    private static final String FILE = "lock";

    /** The system gives a lock up when its process closes any channel to the file, so there must not be a second one. */
    private static final Set<Path> heldHere = ConcurrentHashMap.newKeySet();

    private final Path folder;
    private final FileChannel channel;

    private RunLock(Path folder, FileChannel channel) {
        this.folder = folder;
        this.channel = channel;
    }

    /**
     * Creates the folder where there is none.
     *
     * @throws IllegalStateException if another run holds the folder
     * @throws IOException if nothing can be written there
     */
    static RunLock take(Path directory) throws IOException {
        Path folder;
        try {
            folder = Files.createDirectories(directory).toRealPath();
        } catch (IOException e) {
            throw unwritable(directory, e);
        }
        if (!heldHere.add(folder)) {
            throw inUse(directory);
        }
        FileChannel channel;
        try {
            channel = FileChannel.open(folder.resolve(FILE), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        } catch (IOException e) {
            heldHere.remove(folder);
            throw unwritable(directory, e);
        }
        var lock = new RunLock(folder, channel);
        if (!tryLock(channel, directory)) {
            lock.close();
            throw inUse(directory);
        }
        return lock;
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
        return new IOException("No checkpoints can be written to " + directory + ": " + e, e);
    }

    private static IllegalStateException inUse(Path directory) {
        return new IllegalStateException(
                "Another run is writing checkpoints to " + directory + ": wait for its end, or choose another folder");
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
