package org.nanodo.files;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A directory that appears under its name only when all its files, its manifest last, are on disk, or not at all. Links are
 * never followed when one is deleted.
 */
public final class AtomicDirectory {
    private static final Pattern OURS = Pattern.compile(
            "(config|run|tokenizer|manifest)\\.json|(model|optimizer)(\\.rank-\\d+-of-\\d+)?\\.safetensors");

    static final String UNFINISHED = ".unfinished";
    static final String REPLACED = ".replaced";
    private static final String KEPT = ".kept";
    private static final Logger log = LoggerFactory.getLogger(AtomicDirectory.class);

    /** Writes the files of a new directory. */
    @FunctionalInterface
    public interface Writer {
        void write(NewDirectory folder) throws IOException;
    }

    private AtomicDirectory() {}

    /**
     * Creates a directory through a writer, and those above it. When that fails nothing is left behind.
     *
     * @throws FileAlreadyExistsException if there is something of that name
     */
    public static void create(Path target, Writer writer) throws IOException {
        if (isThere(target)) {
            throw new FileAlreadyExistsException(target + " exists: delete it or choose another name");
        }
        Path directory = target.toAbsolutePath();
        Files.createDirectories(directory.getParent());
        replace(directory, writer);
    }

    /**
     * The same in a directory that is there. What had the name before keeps it until the new one is on disk, and then goes as
     * {@link #retire} says. A process that dies between the two renames leaves the old one for {@link #restore}.
     */
    public static void replace(Path target, Writer writer) throws IOException {
        Path unfinished = beside(target, UNFINISHED);
        Path replaced = beside(target, REPLACED);
        delete(unfinished);
        Files.createDirectory(unfinished);
        try {
            var folder = new NewDirectory(unfinished);
            writer.write(folder);
            folder.writeManifest();
            force(unfinished);
            if (isThere(target)) {
                retire(replaced);
                Files.move(target, replaced, StandardCopyOption.ATOMIC_MOVE);
            }
            Files.move(unfinished, target, StandardCopyOption.ATOMIC_MOVE);
            force(target.toAbsolutePath().getParent());
        } catch (IOException | RuntimeException | Error e) {
            try {
                restore(target);
                delete(unfinished);
            } catch (IOException notDeleted) {
                e.addSuppressed(notDeleted);
            }
            throw e;
        }
        try {
            retire(replaced);
        } catch (IOException e) { // the new one is there all the same
            log.warn("{} cannot be deleted: {}", replaced, e.toString());
        }
    }

    /** Gives a directory its name back that {@link #replace} had taken when its process died; one whose successor is there goes. */
    public static void restore(Path target) throws IOException {
        Path replaced = beside(target, REPLACED);
        if (isThere(target)) {
            retire(replaced);
        } else if (isThere(replaced)) {
            Files.move(replaced, target, StandardCopyOption.ATOMIC_MOVE);
        }
    }

    /**
     * Deletes a directory and the files that its manifest lists. One with anything else in it is moved aside with that, to
     * {@code step_00000002.kept}, and a link stays: they are somebody's.
     */
    public static void retire(Path directory) throws IOException {
        if (!isThere(directory)) {
            return;
        }
        if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
            log.warn("{} is a link or a file and stays: only directories of checkpoints are deleted", directory);
            return;
        }
        Set<String> listed = listed(directory);
        if (holdsOnly(directory, listed)) {
            delete(directory);
            return;
        }
        Path kept = beside(directory, KEPT);
        for (int i = 2; isThere(kept); i++) {
            kept = beside(directory, KEPT + "-" + i);
        }
        Files.move(directory, kept, StandardCopyOption.ATOMIC_MOVE);
        log.warn("{} holds files that its manifest does not list: they stay, as {}", directory, kept);
        for (String name : listed) {
            if (!Files.isDirectory(kept.resolve(name), LinkOption.NOFOLLOW_LINKS)) {
                Files.deleteIfExists(kept.resolve(name));
            }
        }
    }

    /** What the manifest lists or, if it cannot be read, what has the names that this library gives. */
    private static Set<String> listed(Path directory) throws IOException {
        try {
            var names = new TreeSet<>(Manifest.read(directory).files().keySet());
            names.add(Manifest.NAME);
            return names;
        } catch (IOException e) {
            try (var paths = Files.list(directory)) {
                return paths.map(path -> path.getFileName().toString())
                        .filter(name -> OURS.matcher(name).matches())
                        .collect(Collectors.toSet());
            }
        }
    }

    private static boolean holdsOnly(Path directory, Set<String> names) throws IOException {
        try (var paths = Files.list(directory)) {
            return paths.allMatch(path -> names.contains(path.getFileName().toString())
                    && !Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS));
        }
    }

    /** Deletes a directory and all in it, first taking its name away so that no half of it is ever seen. */
    public static void delete(Path target) throws IOException {
        if (!isThere(target)) {
            return;
        }
        if (!Files.isDirectory(target, LinkOption.NOFOLLOW_LINKS)) {
            throw new NotDirectoryException(target + " is in the way: it is not a directory");
        }
        Path doomed = target;
        if (!target.toString().endsWith(UNFINISHED)) {
            doomed = beside(target, UNFINISHED);
            delete(doomed);
            Files.move(target, doomed, StandardCopyOption.ATOMIC_MOVE);
        }
        Files.walkFileTree(doomed, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.delete(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, IOException failure) throws IOException {
                if (failure != null) {
                    throw failure;
                }
                Files.delete(directory);
                return FileVisitResult.CONTINUE;
            }
        });
    }

    private static boolean isThere(Path path) {
        return Files.exists(path, LinkOption.NOFOLLOW_LINKS);
    }

    private static Path beside(Path target, String ending) {
        return target.resolveSibling(target.getFileName() + ending);
    }

    private static void force(Path directory) throws IOException {
        if (System.getProperty("os.name").startsWith("Windows")) {
            return; // Windows opens no directories, and its renames are durable without
        }
        try (var channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }
}
