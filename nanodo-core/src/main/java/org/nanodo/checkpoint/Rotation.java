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

/** Deletes old checkpoints: all but the newest, and those of steps that a number divides. One that cannot be deleted stays. */
final class Rotation {
    private static final Logger log = LoggerFactory.getLogger(Rotation.class);

    private final int keep;
    private final long keepEvery;
    private final Set<Path> staying = new HashSet<>(); // each of which was said once

    Rotation(int keep, long keepEvery) {
        if (keep < 1) {
            throw new IllegalArgumentException("keep is " + keep + ": at least one checkpoint has to stay");
        }
        if (keepEvery < 1) {
            throw new IllegalArgumentException(
                    "Keeping checkpoints every " + keepEvery + " steps: it has to be positive");
        }
        this.keep = keep;
        this.keepEvery = keepEvery;
    }

    /** @param checkpoints all that count, the oldest first */
    void apply(List<Path> checkpoints) {
        for (Path old : checkpoints.subList(0, Math.max(0, checkpoints.size() - keep))) {
            long step = CheckpointStore.step(old);
            if (step % keepEvery == 0 && step > 0 || staying.contains(old)) {
                continue;
            }
            try {
                AtomicDirectory.retire(old);
            } catch (IOException e) {
                log.warn("An old checkpoint cannot be deleted: {}", e.toString());
            }
            if (Files.exists(old, LinkOption.NOFOLLOW_LINKS)) {
                staying.add(old);
            }
        }
    }
}
