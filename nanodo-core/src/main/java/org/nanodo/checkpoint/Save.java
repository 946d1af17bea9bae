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
 * One checkpoint on its way to the disk, or one rank's part of it. Parts become folders of their own; rank 0 moves their files
 * into the checkpoint, which gets its name last.
 */
final class Save {
    private static final Logger log = LoggerFactory.getLogger(Save.class);

    private final Path target;
    private final Contents contents;
    private final CompletableFuture<Void> written = new CompletableFuture<>();
    private final CompletableFuture<Void> commit = new CompletableFuture<>();

    Save(Path target, Contents contents) {
        this.target = target;
        this.contents = contents;
        if (contents.world() == 1) {
            commit();
        }
    }

    /** Where a rank puts its part. */
    static Path part(Path target, int rank) {
        return target.resolveSibling(target.getFileName() + ".rank-" + rank);
    }

    boolean isWritten() {
        return written.isDone() && !written.isCompletedExceptionally();
    }

    /** Waits until these contents are on disk, or never will be, which {@link #write} says. */
    boolean awaitWritten() {
        try {
            written.join();
            return true;
        } catch (CompletionException e) {
            return false;
        }
    }

    /** All ranks' contents are on disk. */
    void commit() {
        commit.complete(null);
    }

    /** They are not, and will not be; does nothing after {@link #commit}. */
    void giveUp() {
        commit.completeExceptionally(new IOException("not every rank has written its part"));
    }

    /** Tells whether the place to write to is still there. */
    @FunctionalInterface
    interface Check {
        void run() throws IOException;
    }

    /** @param isHere fails where the directory of the run is gone: asked before, and to explain another failure */
    void write(Check isHere) throws IOException {
        try {
            isHere.run();
            writeNow();
            written.complete(null);
        } catch (IOException | RuntimeException | Error e) {
            written.completeExceptionally(e);
            isHere.run();
            throw e;
        }
    }

    private void writeNow() throws IOException {
        if (contents.rank() > 0) {
            AtomicDirectory.replace(part(target, contents.rank()), contents);
        } else if (isThere()) {
            awaitCommit();
            for (int rank = 1; rank < contents.world(); rank++) {
                AtomicDirectory.delete(part(target, rank));
            }
        } else {
            AtomicDirectory.replace(target, folder -> {
                contents.write(folder);
                awaitCommit();
                for (int rank = 1; rank < contents.world(); rank++) {
                    folder.adopt(part(target, rank));
                }
            });
        }
    }

    /** A step with the same JSON was saved from the same state; any other, and one that is not whole, is replaced. */
    private boolean isThere() throws IOException {
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
