package org.nanodo.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.files.Json;
import org.nanodo.files.Manifest;
import org.nanodo.files.NewDirectory;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * The contents of a directory to write: values as JSON, and sets of tensors. If several ranks write one directory, each has its own
 * contents: its tensors or slices go to files of its own, and the JSON is rank 0's.
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

    /** Adds a file with a value as it is now. */
    public Contents json(String file, Object value) {
        if (rank == 0) {
            json.put(file, Json.write(value) + "\n");
        }
        return this;
    }

    /**
     * Adds tensors, whose values are read when they are written, or copied by {@link CheckpointStore#save}.
     *
     * @param set the name of the {@link TensorSet}
     */
    public Contents tensors(String set, Map<String, Slice> named) {
        tensors.put(TensorSet.fileName(set, rank, world), new LinkedHashMap<>(named));
        return this;
    }

    /**
     * Copies the contents to memory on the host.
     *
     * @param buffers holds the copies, which are valid until the next call, and is reused: allocating them costs most
     */
    Contents copy(Map<String, Tensor> buffers) {
        var copies = new Contents(rank, world);
        copies.json.putAll(json);
        try (var scope = Scope.open();
                var off = Grad.off()) {
            tensors.forEach((file, named) -> {
                var copied = new LinkedHashMap<String, Slice>();
                named.forEach((name, slice) ->
                        copied.put(name, slice.with(copy(slice.values(), file + "/" + name, buffers))));
                copies.tensors.put(file, copied);
            });
        }
        return copies;
    }

    private static Tensor copy(Tensor tensor, String key, Map<String, Tensor> buffers) {
        Tensor copy = buffers.get(key);
        if (copy == null
                || Tensors.type(copy) != Tensors.type(tensor)
                || !Arrays.equals(copy.shape(), tensor.shape())) {
            if (copy != null) {
                copy.close();
            }
            copy = Scope.keep(Tensors.hostBuffer(tensor));
            buffers.put(key, copy);
        }
        copy.copy_(tensor);
        return copy;
    }

    /** Returns whether a directory's JSON is what these contents would write. */
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
    public void write(NewDirectory directory) throws IOException {
        for (var file : tensors.entrySet()) {
            try (var channel = directory.file(file.getKey())) {
                TensorSet.write(channel, file.getValue());
            }
        }
        for (var file : json.entrySet()) {
            directory.write(file.getKey(), file.getValue());
        }
    }
}
