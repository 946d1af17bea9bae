package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.BiFunction;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.files.Json;
import org.nanodo.files.Manifest;
import org.nanodo.files.NewDirectory;

/**
 * What a new folder is to hold: JSON and tensors. Of several ranks each has its own contents: tensors, or its slices of them,
 * go to files of its own, and JSON is rank 0's.
 */
public final class Contents implements AtomicDirectory.Writer {
    private final int rank;
    private final int world;
    private final Map<String, String> json = new LinkedHashMap<>();
    private final Map<String, Map<String, Slice>> tensors = new LinkedHashMap<>();

    public Contents() {
        this(0, 1);
    }

    public Contents(int rank, int world) {
        this.rank = rank;
        this.world = world;
    }

    int rank() {
        return rank;
    }

    int world() {
        return world;
    }

    /** A file with a value as it is now. */
    public Contents json(String file, Object value) {
        if (rank == 0) {
            json.put(file, Json.write(value) + "\n");
        }
        return this;
    }

    /**
     * Tensors as they will be when they are written, or copied by a {@link CheckpointStore}.
     *
     * @param set whose file is {@code set.safetensors}, or one a rank: {@link TensorSet}
     */
    public Contents tensors(String set, Map<String, Slice> named) {
        tensors.put(TensorSet.file(set, rank, world), new LinkedHashMap<>(named));
        return this;
    }

    /** The same with other tensors. @param copy of a key, which is unique, and a tensor */
    Contents map(BiFunction<String, Tensor, Tensor> copy) {
        var copies = new Contents(rank, world);
        copies.json.putAll(json);
        tensors.forEach((file, named) -> {
            var copied = new LinkedHashMap<String, Slice>();
            named.forEach((name, slice) -> copied.put(name, slice.with(copy.apply(file + "/" + name, slice.values()))));
            copies.tensors.put(file, copied);
        });
        return copies;
    }

    /** Whether a directory's JSON is what these contents would write. */
    boolean isJsonOf(Path directory) throws IOException {
        for (var file : json.entrySet()) {
            if (!Manifest.names(directory).contains(file.getKey())
                    || !Json.text(directory.resolve(file.getKey())).equals(file.getValue())) {
                return false;
            }
        }
        return true;
    }

    @Override
    public void write(NewDirectory folder) throws IOException {
        for (var file : tensors.entrySet()) {
            try (var channel = folder.file(file.getKey())) {
                TensorSet.write(channel, file.getValue());
            }
        }
        for (var file : json.entrySet()) {
            folder.write(file.getKey(), file.getValue());
        }
    }
}
