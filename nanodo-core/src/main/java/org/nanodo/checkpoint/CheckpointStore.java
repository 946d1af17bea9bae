package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;

/** A run's checkpoints: one folder a step, {@code step_00002000}, of which the newest few are kept. */
public final class CheckpointStore {
    private static final Pattern NAME = Pattern.compile("step_\\d{8,}");

    private final Path workdir;
    private final int keep;

    /** @param keep how many checkpoints stay; older ones go when a newer one is on disk */
    public CheckpointStore(Path workdir, int keep) {
        if (keep < 1) {
            throw new IllegalArgumentException("keep is " + keep + ": at least one checkpoint has to stay");
        }
        this.workdir = workdir;
        this.keep = keep;
    }

    /** The newest checkpoint's folder. */
    public Optional<Path> latest() throws IOException {
        List<Path> all = all();
        return all.isEmpty() ? Optional.empty() : Optional.of(all.get(all.size() - 1));
    }

    /** Writes a checkpoint; a step that is there already was written from the same state and stays as it is. */
    public void save(long step, AtomicDirectory.Writer writer) throws IOException {
        Path target = workdir.resolve(String.format(Locale.ROOT, "step_%08d", step));
        if (Files.exists(target)) {
            return;
        }
        Files.createDirectories(workdir);
        AtomicDirectory.create(target, writer);
        List<Path> all = all();
        for (Path old : all.subList(0, Math.max(0, all.size() - keep))) {
            AtomicDirectory.delete(old);
        }
    }

    private List<Path> all() throws IOException {
        if (!Files.isDirectory(workdir)) {
            return List.of();
        }
        try (var paths = Files.list(workdir)) {
            return paths.filter(
                            path -> NAME.matcher(path.getFileName().toString()).matches())
                    .sorted((a, b) -> Long.compare(step(a), step(b)))
                    .toList();
        }
    }

    private static long step(Path checkpoint) {
        return Long.parseLong(checkpoint.getFileName().toString().substring("step_".length()));
    }
}
