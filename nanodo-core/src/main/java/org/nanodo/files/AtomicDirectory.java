package org.nanodo.files;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Creates, replaces and deletes directories of files that a {@link Manifest} lists. A directory appears under its name only when
 * all of its files are on disk. Deleting never follows links.
 */
public final class AtomicDirectory {
    /** The names of the files that this library writes. */
    private static final Pattern OURS = Pattern.compile(
            "(config|run|tokenizer|manifest)\\.json|(model|optimizer)(\\.rank-\\d+-of-\\d+)?\\.safetensors");

    private static final String UNFINISHED = ".unfinished";
    private static final String REPLACED = ".replaced";
    private static final String KEPT = ".kept";
    private static final Logger log = LoggerFactory.getLogger(AtomicDirectory.class);

    /** Writes the files of a new directory. */
    @FunctionalInterface
    public interface Writer {
        void write(NewDirectory directory) throws IOException;
    }

    private AtomicDirectory() {}

    /**
     * Creates a directory and its missing parents. If this fails, nothing is left under the directory's name.
     *
     * @throws FileAlreadyExistsException if the name is taken
     */
    public static void create(Path target, Writer writer) throws IOException {
        if (exists(target)) {
            throw new FileAlreadyExistsException(target + " exists: delete it or choose another name");
        }
        Path directory = target.toAbsolutePath();
        Files.createDirectories(directory.getParent());
        replace(directory, writer);
    }

    /**
     * Creates a directory in an existing parent and replaces an earlier one of that name. The earlier one keeps the name until
     * the new one is on disk, and is then {@linkplain #retire retired}. If the process dies between the two renames,
     * {@link #restore} undoes the first.
     */
    public static void replace(Path target, Writer writer) throws IOException {
        Path unfinished = sibling(target, UNFINISHED);
        Path replaced = sibling(target, REPLACED);
        delete(unfinished);
        Files.createDirectory(unfinished);
        try {
            var directory = new NewDirectory(unfinished);
            writer.write(directory);
            directory.writeManifest();
            force(unfinished);
            if (exists(target)) {
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
        } catch (IOException e) { // which is no failure of the replacement
            log.warn("{} cannot be deleted: {}", replaced, e.toString());
        }
    }

    /**
     * Completes a {@link #replace} whose process died: retires the earlier directory if the new one has its name, and returns the
     * name to the earlier one otherwise.
     */
    public static void restore(Path target) throws IOException {
        Path replaced = sibling(target, REPLACED);
        if (exists(target)) {
            retire(replaced);
        } else if (exists(replaced)) {
            Files.move(replaced, target, StandardCopyOption.ATOMIC_MOVE);
        }
    }

    /**
     * Deletes a directory and the files that its manifest lists. A directory that holds anything else belongs to a user: it is
     * renamed with its other files, for example to {@code step_00000002.kept}. A link is not touched.
     */
    public static void retire(Path directory) throws IOException {
        if (!exists(directory)) {
            return;
        }
        if (!isDirectory(directory)) {
            log.warn("{} is a link or a file and is not deleted: only directories of checkpoints are", directory);
            return;
        }
        Set<String> listed = listed(directory);
        if (holdsOnly(directory, listed)) {
            delete(directory);
            return;
        }
        Path kept = sibling(directory, KEPT);
        for (int i = 2; exists(kept); i++) {
            kept = sibling(directory, KEPT + "-" + i);
        }
        Files.move(directory, kept, StandardCopyOption.ATOMIC_MOVE);
        log.warn("{} holds files that its manifest does not list: they are kept in {}", directory, kept);
        for (String name : listed) {
            if (!isDirectory(kept.resolve(name))) {
                Files.deleteIfExists(kept.resolve(name));
            }
        }
    }

    /** Returns the files that the manifest lists or, if it cannot be read, those with names that this library gives. */
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
            return paths.allMatch(path -> names.contains(path.getFileName().toString()) && !isDirectory(path));
        }
    }

    /** Deletes a directory and all that it holds. It is renamed first, so that it is never seen half deleted. */
    public static void delete(Path target) throws IOException {
        if (!exists(target)) {
            return;
        }
        if (!isDirectory(target)) {
            throw new NotDirectoryException(target + " is in the way: it is not a directory");
        }
        Path doomed = target;
        if (!target.toString().endsWith(UNFINISHED)) {
            doomed = sibling(target, UNFINISHED);
            delete(doomed);
            Files.move(target, doomed, StandardCopyOption.ATOMIC_MOVE);
        }
        try (var paths = Files.walk(doomed)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private static boolean exists(Path path) {
        return Files.exists(path, LinkOption.NOFOLLOW_LINKS);
    }

    private static boolean isDirectory(Path path) {
        return Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS);
    }

    private static Path sibling(Path target, String ending) {
        return target.resolveSibling(target.getFileName() + ending);
    }

    private static void force(Path directory) throws IOException {
        if (System.getProperty("os.name").startsWith("Windows")) {
            return; // Windows cannot open directories, and its renames are durable without this
        }
        try (var channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }
}
