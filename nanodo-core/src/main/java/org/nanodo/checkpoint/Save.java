package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Manifest;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One checkpoint, or one rank's part of it, that a background thread writes. Ranks above 0 write their parts to directories of their
 * own; rank 0 moves these files into the checkpoint, which gets its name last.
 */
final class Save {
    private static final Logger log = LoggerFactory.getLogger(Save.class);

    private final Path target;
    private final Contents contents;
    private final RunLock lock;
    private final CompletableFuture<Void> written = new CompletableFuture<>();
    private final CompletableFuture<Void> commit = new CompletableFuture<>();
    private final CompletableFuture<Void> done = new CompletableFuture<>();

    /** @param lock null if this rank holds none */
    Save(Path target, Contents contents, RunLock lock) {
        this.target = target;
        this.contents = contents;
        this.lock = lock;
        if (contents.world() == 1) {
            commit();
        }
    }

    /** Returns the directory of a rank's part. */
    private Path part(int rank) {
        return target.resolveSibling(target.getFileName() + ".rank-" + rank);
    }

    /** Returns whether these contents are on disk. */
    boolean isWritten() {
        return written.isDone() && !written.isCompletedExceptionally();
    }

    /** Waits until these contents are on disk. Returns false if writing failed. */
    boolean awaitWritten() {
        try {
            written.join();
            return true;
        } catch (CompletionException e) {
            return false;
        }
    }

    /** Tells that all ranks' contents are on disk. */
    void commit() {
        commit.complete(null);
    }

    boolean isDone() {
        return done.isDone();
    }

    /**
     * Waits until this save has ended, even when interrupted. A save that was not committed is given up.
     *
     * @throws CompletionException if the save failed, caused by the failure
     */
    void await() {
        commit.completeExceptionally(new IOException("not every rank has written its part"));
        done.join();
    }

    /** Writes the contents, waits for the commit on rank 0, and then runs an action. Failures are thrown by {@link #await}. */
    void run(Runnable afterwards) {
        try {
            checkIsHere();
            try {
                write();
            } catch (IOException | RuntimeException | Error e) {
                checkIsHere(); // a directory that was removed explains the failure better
                throw e;
            }
            written.complete(null);
            afterwards.run();
            done.complete(null);
        } catch (IOException | RuntimeException | Error e) {
            written.completeExceptionally(e);
            done.completeExceptionally(e);
        }
    }

    private void checkIsHere() throws IOException {
        if (lock != null) {
            lock.check();
        }
    }

    private void write() throws IOException {
        if (contents.rank() > 0) {
            AtomicDirectory.replace(part(contents.rank()), contents);
        } else if (isSaved()) {
            awaitCommit();
            for (int rank = 1; rank < contents.world(); rank++) {
                AtomicDirectory.delete(part(rank));
            }
        } else {
            AtomicDirectory.replace(target, directory -> {
                contents.write(directory);
                awaitCommit();
                for (int rank = 1; rank < contents.world(); rank++) {
                    directory.adopt(part(rank));
                }
            });
        }
    }

    /** Returns whether a whole checkpoint of the same state exists, which is one with the same JSON. */
    private boolean isSaved() throws IOException {
        if (!Files.exists(target)) {
            return false;
        }
        try {
            Manifest.verify(target);
            return contents.isJsonOf(target);
        } catch (CorruptFileException e) {
            log.warn("A checkpoint is replaced: {}", e.getMessage());
            return false;
        }
    }

    private void awaitCommit() throws IOException {
        written.complete(null);
        try {
            commit.join();
        } catch (CompletionException e) {
            throw new IOException(e.getCause().getMessage(), e.getCause());
        }
    }
}
