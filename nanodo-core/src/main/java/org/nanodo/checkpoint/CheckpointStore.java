package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.regex.Pattern;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Manifest;
import org.nanodo.runtime.BackgroundThread;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A run's checkpoints: one folder a step, {@code step_00002000}, with a {@link Manifest}. Which one is the newest is what
 * the folders say, no pointer. A save blocks for a copy in memory only; a thread of its own writes it. Several ranks that save
 * together share the folder, which only rank 0 locks, reads and tidies.
 *
 * <p>Threads: one at a time may use a store.
 */
public final class CheckpointStore implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(CheckpointStore.class);
    private static final Pattern NAME = Pattern.compile("step_\\d{8,18}");
    private static final Pattern UNFINISHED =
            Pattern.compile("step_\\d+(\\.rank-\\d+(\\.replaced)?|(\\.rank-\\d+)?(\\.replaced)?\\.unfinished)");
    private static final Pattern REPLACED = Pattern.compile("step_\\d+\\.replaced");

    private final Path workdir;
    private final Rotation rotation;
    private final Snapshot snapshot = new Snapshot();
    private boolean closed;
    private RunLock lock;
    private Save save;
    private FutureTask<Void> saving;

    /** @param keep how many checkpoints stay; older ones go when a newer one is on disk */
    public CheckpointStore(Path workdir, int keep) {
        this(workdir, keep, Long.MAX_VALUE);
    }

    /** @param keepEvery checkpoints of steps that this divides stay for good */
    public CheckpointStore(Path workdir, int keep, long keepEvery) {
        this.workdir = workdir;
        rotation = new Rotation(keep, keepEvery);
    }

    /**
     * A checkpoint that is whole, by its own folder or by its run's, whose newest it then is.
     *
     * @throws NoSuchFileException if there is none
     */
    public static Path find(Path directory) throws IOException {
        if (NAME.matcher(String.valueOf(directory.getFileName())).matches()
                || Files.exists(directory.resolve(Manifest.NAME))) {
            Manifest.verify(directory);
            return directory;
        }
        return new CheckpointStore(directory, 1)
                .latest()
                .orElseThrow(() -> new NoSuchFileException(
                        directory + (Files.exists(directory) ? " holds no checkpoint" : " does not exist")));
    }

    /**
     * Makes this store the only one that writes here, until it is closed or its process dies, and clears away what a dead
     * one left half-written. Of several ranks that write together one calls this.
     *
     * @throws IllegalStateException if another run holds the directory
     */
    public void lock() throws IOException {
        checkOpen();
        if (lock == null) {
            lock = RunLock.take(workdir);
            for (Path replaced : list(REPLACED)) {
                String name = replaced.getFileName().toString();
                Path target = workdir.resolve(name.substring(0, name.indexOf('.')));
                try {
                    AtomicDirectory.restore(target);
                } catch (IOException e) {
                    if (!Files.exists(target)) {
                        throw e;
                    }
                    log.warn("{} has a successor and cannot be deleted: {}", replaced, e.toString());
                }
            }
            for (Path unfinished : list(UNFINISHED)) {
                try {
                    AtomicDirectory.delete(unfinished);
                } catch (IOException e) { // in the way of a save of this step, if there is one
                    log.warn("What an earlier run left half-written cannot be deleted: {}", e.toString());
                }
            }
        }
    }

    /** The folder of a step's checkpoint. */
    public Path path(long step) {
        return workdir.resolve(name(step));
    }

    private static String name(long step) {
        return String.format(Locale.ROOT, "step_%08d", step);
    }

    /** Whether nothing was ever saved here. */
    public boolean isEmpty() throws IOException {
        return all().isEmpty();
    }

    /**
     * The newest checkpoint that is whole; newer ones that are not are passed over with a warning.
     *
     * @throws CorruptFileException if there are checkpoints but none is whole
     */
    public Optional<Path> latest() throws IOException {
        var newestFirst = new ArrayList<>(all());
        Collections.reverse(newestFirst);
        CorruptFileException newest = null;
        for (Path checkpoint : newestFirst) {
            try {
                Manifest.verify(checkpoint);
                if (newest != null) {
                    log.warn("{} is the newest checkpoint that is whole", checkpoint);
                }
                return Optional.of(checkpoint);
            } catch (CorruptFileException e) {
                log.warn("A checkpoint is skipped: {}", e.getMessage());
                newest = newest == null ? e : newest;
            }
        }
        if (newest != null) {
            throw new CorruptFileException(
                    workdir,
                    "none of the " + newestFirst.size() + " checkpoints is whole; the newest: " + newest.getMessage());
        }
        return Optional.empty();
    }

    /**
     * Copies the contents and has a thread write them; waits for the save before, of which there is at most one under way.
     * A step that is there already with the same JSON was written from the same state and stays as it is, if it is whole.
     *
     * <p>Of several ranks each saves its own contents of a step. They become a checkpoint when rank 0's store hears that all are
     * written, by {@link #commit}.
     *
     * @throws IOException what the save before failed with
     */
    public void save(long step, Contents contents) throws IOException {
        checkOpen();
        await();
        var next = new Save(path(step), snapshot.of(contents));
        save = next;
        saving = new FutureTask<>(() -> {
            next.write(this::checkIsHere);
            if (contents.rank() == 0) {
                rotate(step);
            }
            return null;
        });
        try {
            BackgroundThread.start("nanodo-checkpoint", saving);
        } catch (Error e) { // the system has no thread left: nobody may wait for this save
            saving = null;
            save = null;
            throw e;
        }
    }

    /** The checkpoint is on disk: that others cannot be deleted is no failure of the save. */
    private void rotate(long saved) {
        try {
            // Later ones were passed over when the run was resumed: they do not count.
            rotation.apply(all().stream().filter(path -> step(path) <= saved).toList());
        } catch (IOException e) {
            log.warn("Old checkpoints in {} cannot be deleted: {}", workdir, e.toString());
        }
    }

    /**
     * Whether this rank's contents of the last save are on disk.
     *
     * @throws IOException what it failed with, if that is known by now and was not said yet
     */
    public boolean isWritten() throws IOException {
        if (saving != null && saving.isDone()) {
            await();
        }
        return save != null && save.isWritten();
    }

    /** Waits until they are. @throws IOException what it failed with, if that was not said yet */
    public void awaitWritten() throws IOException {
        if (saving != null && !save.awaitWritten()) {
            await();
        }
    }

    /** Says that all ranks have written: rank 0's thread makes a checkpoint of it. */
    public void commit() {
        if (save != null) {
            save.commit();
        }
    }

    /**
     * Waits until the last save is on disk, even when interrupted: what it writes has to stay as it is. One of several ranks'
     * that was not committed is given up.
     *
     * @throws IOException what it failed with, if that was not said yet
     */
    public void await() throws IOException {
        boolean interrupted = false;
        while (saving != null) {
            try {
                save.giveUp();
                saving.get();
                saving = null;
            } catch (ExecutionException e) {
                saving = null;
                save = null;
                throw new IOException(
                        "A checkpoint could not be written, those before it stay: " + e.getCause(), e.getCause());
            } catch (InterruptedException e) {
                interrupted = true;
            } finally {
                if (interrupted && saving == null) {
                    Thread.currentThread().interrupt();
                }
            }
        }
    }

    /** By step. */
    private List<Path> all() throws IOException {
        return list(NAME).stream()
                .filter(path -> path.equals(path(step(path)))) // step_000000300 is nobody's
                .sorted(Comparator.comparingLong(CheckpointStore::step))
                .toList();
    }

    private List<Path> list(Pattern name) throws IOException {
        if (!Files.isDirectory(workdir)) {
            return List.of();
        }
        try (var paths = Files.list(workdir)) {
            return paths.filter(
                            path -> name.matcher(path.getFileName().toString()).matches())
                    .toList();
        }
    }

    /** The step that a checkpoint's directory is named after. */
    public static long step(Path checkpoint) {
        return Long.parseLong(checkpoint.getFileName().toString().substring("step_".length()));
    }

    /** Whether a directory's name does not say that it is of another step: those that were moved may have any name. */
    public static boolean mayBeOf(long step, Path checkpoint) {
        String name = String.valueOf(checkpoint.getFileName());
        return !NAME.matcher(name).matches() || name.equals(name(step));
    }

    private void checkIsHere() throws IOException {
        if (lock != null) {
            lock.check();
        }
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException("This store of checkpoints in " + workdir + " is closed: make a new one");
        }
    }

    /** Waits for the last save; what it fails with is logged, if nobody has asked for it. */
    @Override
    public void close() {
        try {
            await();
        } catch (IOException e) {
            log.error(e.getMessage(), e);
        }
        closed = true;
        snapshot.close();
        if (lock != null) {
            lock.close();
            lock = null;
        }
    }
}
