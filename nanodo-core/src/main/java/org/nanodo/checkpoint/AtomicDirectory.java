package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.List;

/** A folder that appears under its name only when all its files, its manifest last, are on disk, or not at all. */
public final class AtomicDirectory {
    static final String UNFINISHED = ".unfinished";

    /** Writes the files of a new folder. */
    @FunctionalInterface
    public interface Writer {
        void write(NewFolder folder) throws IOException;
    }

    private AtomicDirectory() {}

    /**
     * Creates a folder through a writer. When that fails nothing is left behind.
     *
     * @throws FileAlreadyExistsException if there is something of that name
     */
    public static void create(Path target, Writer writer) throws IOException {
        Path directory = target.toAbsolutePath();
        if (Files.exists(directory)) {
            throw new FileAlreadyExistsException(target + " exists: delete it or choose another name");
        }
        Path unfinished = unfinished(directory);
        delete(unfinished);
        Files.createDirectories(unfinished);
        try {
            var folder = new NewFolder(unfinished);
            writer.write(folder);
            folder.writeManifest();
            force(unfinished);
            Files.move(unfinished, directory, StandardCopyOption.ATOMIC_MOVE);
            force(directory.getParent());
        } catch (IOException | RuntimeException | Error e) {
            try {
                delete(unfinished);
            } catch (IOException notDeleted) {
                e.addSuppressed(notDeleted);
            }
            throw e;
        }
    }

    /** Deletes a folder that {@link #create} made, first taking its name away so that no half of it is ever seen. */
    public static void delete(Path target) throws IOException {
        if (!Files.exists(target)) {
            return;
        }
        Path doomed = target;
        if (!target.toString().endsWith(UNFINISHED)) {
            doomed = unfinished(target);
            delete(doomed);
            Files.move(target, doomed, StandardCopyOption.ATOMIC_MOVE);
        }
        for (Path path : list(doomed)) {
            Files.delete(path);
        }
        Files.delete(doomed);
    }

    private static Path unfinished(Path target) {
        return target.resolveSibling(target.getFileName() + UNFINISHED);
    }

    private static List<Path> list(Path directory) throws IOException {
        try (var paths = Files.list(directory)) {
            return paths.sorted(Comparator.naturalOrder()).toList();
        }
    }

    private static void force(Path directory) throws IOException {
        if (System.getProperty("os.name").startsWith("Windows")) {
            return; // Windows opens no folders, and its renames are durable without
        }
        try (var channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }
}
