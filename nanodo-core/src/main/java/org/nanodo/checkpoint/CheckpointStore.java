package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletionException;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Manifest;
import org.nanodo.runtime.BackgroundThread;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The checkpoints of a run: one directory for each step, such as {@code step_00002000}, with a {@link Manifest}. The directories'
 * names alone tell which checkpoint is the newest. A save blocks only while it copies the state in memory; a background thread writes
 * the copy. Several ranks that save together share the directory, which only rank 0 locks, reads and cleans up.
 *
 * <p>A store may be used by one thread at a time.
 */
public final class CheckpointStore implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(CheckpointStore.class);
    private static final Pattern NAME = Pattern.compile("step_\\d{8,18}");
    private static final Pattern UNFINISHED =
            Pattern.compile("step_\\d+(\\.rank-\\d+(\\.replaced)?|(\\.rank-\\d+)?(\\.replaced)?\\.unfinished)");
    private static final Pattern REPLACED = Pattern.compile("step_\\d+\\.replaced");

    private final Path workdir;
    private final Rotation rotation;
    private final Map<String, Tensor> buffers = new HashMap<>(); // of the copies that are being written
    private boolean closed;
    private RunLock lock;
    private Save save; // null if there was none yet, or its failure was thrown

    /** @param keep the number of checkpoints to keep; older ones are deleted when a newer one is on disk */
    public CheckpointStore(Path workdir, int keep) {
        this(workdir, keep, Long.MAX_VALUE);
    }

    /** @param keepEvery checkpoints of steps that are multiples of this number are never deleted */
    public CheckpointStore(Path workdir, int keep, long keepEvery) {
        this.workdir = workdir;
        rotation = new Rotation(keep, keepEvery);
    }

    /**
     * Finds a whole checkpoint.
     *
     * @param directory a checkpoint, or the directory of a run, whose newest whole checkpoint is returned
     * @throws NoSuchFileException if there is no checkpoint
     */
    public static Path find(Path directory) throws IOException {
        if (NAME.matcher(String.valueOf(directory.getFileName())).matches() || Manifest.isIn(directory)) {
            Manifest.verify(directory);
            return directory;
        }
        return new CheckpointStore(directory, 1)
                .latest()
                .orElseThrow(() -> new NoSuchFileException(
                        directory + (Files.exists(directory) ? " holds no checkpoint" : " does not exist")));
    }

    /**
     * Reserves the directory for this store until it is closed or its process ends, and cleans up after an earlier process that
     * died while it saved. If several ranks save together, only rank 0 calls this.
     *
     * @throws IllegalStateException if another run uses the directory
     */
    public void lock() throws IOException {
        checkOpen();
        if (lock != null) {
            return;
        }
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
                log.warn("{} was replaced and cannot be deleted: {}", replaced, e.toString());
            }
        }
        for (Path unfinished : list(UNFINISHED)) {
            try {
                AtomicDirectory.delete(unfinished);
            } catch (IOException e) { // a later save of this step will fail
                log.warn("An unfinished checkpoint of an earlier run cannot be deleted: {}", e.toString());
            }
        }
    }

    /** Returns the directory of a step's checkpoint. */
    public Path path(long step) {
        return workdir.resolve(name(step));
    }

    private static String name(long step) {
        return String.format(Locale.ROOT, "step_%08d", step);
    }

    /** Returns whether there are no checkpoints, not even broken ones. */
    public boolean isEmpty() throws IOException {
        return all().isEmpty();
    }

    /**
     * Returns the newest whole checkpoint. Newer ones that are not whole are skipped with a warning.
     *
     * @throws CorruptFileException if there are checkpoints, but none is whole
     */
    public Optional<Path> latest() throws IOException {
        var newestFirst = new ArrayList<>(all());
        Collections.reverse(newestFirst);
        CorruptFileException newest = null;
        for (Path checkpoint : newestFirst) {
            try {
                Manifest.verify(checkpoint);
                if (newest != null) {
                    log.warn("{} is the newest whole checkpoint", checkpoint);
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
     * Copies the contents and lets a background thread write them, after waiting for the previous save. A whole checkpoint of this
     * step with the same JSON was written from the same state, and is kept.
     *
     * <p>If several ranks save together, each saves its own contents. They become a checkpoint when rank 0 is told by
     * {@link #commit} that all ranks have written theirs.
     *
     * @throws IOException if the previous save failed
     */
    public void save(long step, Contents contents) throws IOException {
        checkOpen();
        await();
        var next = new Save(path(step), contents.copy(buffers), lock);
        BackgroundThread.start(
                "nanodo-checkpoint",
                () -> next.run(() -> {
                    if (contents.rank() == 0) {
                        rotate(step);
                    }
                }));
        save = next;
    }

    /** Deletes old checkpoints. The new one is on disk, so that a failure here is not a failure of the save. */
    private void rotate(long saved) {
        try {
            // Later checkpoints were skipped when the run resumed, and do not count.
            rotation.apply(all().stream().filter(path -> step(path) <= saved).toList());
        } catch (IOException e) {
            log.warn("Old checkpoints in {} cannot be deleted: {}", workdir, e.toString());
        }
    }

    /**
     * Returns whether this rank's contents of the last save are on disk.
     *
     * @throws IOException if the save has failed and this was not thrown before
     */
    public boolean isWritten() throws IOException {
        if (save != null && save.isDone()) {
            await();
        }
        return save != null && save.isWritten();
    }

    /**
     * Waits until this rank's contents of the last save are on disk.
     *
     * @throws IOException if the save failed and this was not thrown before
     */
    public void awaitWritten() throws IOException {
        if (save != null && !save.awaitWritten()) {
            await();
        }
    }

    /** Tells rank 0's store that all ranks have written their contents, so that they become a checkpoint. */
    public void commit() {
        if (save != null) {
            save.commit();
        }
    }

    /**
     * Waits until the last save has ended, even when interrupted, because the save reads memory of this store. A save of several
     * ranks that was not committed is given up.
     *
     * @throws IOException if the save failed and this was not thrown before
     */
    public void await() throws IOException {
        if (save == null) {
            return;
        }
        try {
            save.await();
        } catch (CompletionException e) {
            save = null;
            throw new IOException(
                    "A checkpoint could not be written, earlier ones are kept: " + e.getCause(), e.getCause());
        }
    }

    /** Returns the checkpoints in the order of their steps. */
    private List<Path> all() throws IOException {
        return list(NAME).stream()
                .filter(path -> path.equals(path(step(path)))) // step_000000300 is not a name of ours
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

    /** Returns the step in the name of a checkpoint's directory. */
    public static long step(Path checkpoint) {
        return Long.parseLong(checkpoint.getFileName().toString().substring("step_".length()));
    }

    /** Returns whether a directory may hold a step's checkpoint by its name: one that a user renamed may have any name. */
    public static boolean mayBeOf(long step, Path checkpoint) {
        String name = String.valueOf(checkpoint.getFileName());
        return !NAME.matcher(name).matches() || name.equals(name(step));
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException("This store of checkpoints in " + workdir + " is closed: open a new one");
        }
    }

    /** Waits for the last save and releases the directory. A failure that was not thrown before is logged. */
    @Override
    public void close() {
        try {
            await();
        } catch (IOException e) {
            log.error(e.getMessage(), e);
        }
        closed = true;
        buffers.values().forEach(Tensor::close);
        buffers.clear();
        if (lock != null) {
            lock.close();
            lock = null;
        }
    }
}
