package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.nanodo.files.AtomicDirectory;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Deletes old checkpoints, except the newest ones and those of steps that are multiples of a number. */
final class Rotation {
    private static final Logger log = LoggerFactory.getLogger(Rotation.class);

    private final int keep;
    private final long keepEvery;
    private final Set<Path> undeletable = new HashSet<>(); // could not be deleted, which was logged once

    Rotation(int keep, long keepEvery) {
        if (keep < 1) {
            throw new IllegalArgumentException("keep is " + keep + ", but at least one checkpoint must be kept");
        }
        if (keepEvery < 1) {
            throw new IllegalArgumentException("keepEvery is " + keepEvery + ", but must be positive");
        }
        this.keep = keep;
        this.keepEvery = keepEvery;
    }

    /** @param checkpoints the oldest first */
    void apply(List<Path> checkpoints) {
        for (Path old : checkpoints.subList(0, Math.max(0, checkpoints.size() - keep))) {
            long step = CheckpointStore.step(old);
            if (step % keepEvery == 0 && step > 0 || undeletable.contains(old)) {
                continue;
            }
            try {
                AtomicDirectory.retire(old);
            } catch (IOException e) {
                log.warn("An old checkpoint cannot be deleted: {}", e.toString());
            }
            if (Files.exists(old, LinkOption.NOFOLLOW_LINKS)) {
                undeletable.add(old);
            }
        }
    }
}
