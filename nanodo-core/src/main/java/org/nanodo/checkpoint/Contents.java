package org.nanodo.checkpoint;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.BiFunction;
import org.bytedeco.pytorch.Tensor;

/** What a new folder is to hold: JSON and tensors by file name. */
public final class Contents implements AtomicDirectory.Writer {
    private final Map<String, String> json;
    private final Map<String, Map<String, Tensor>> tensors = new LinkedHashMap<>();

    public Contents() {
        this(Map.of());
    }

    private Contents(Map<String, String> json) {
        this.json = new LinkedHashMap<>(json);
    }

    /** A file with a value as it is now. */
    public Contents json(String file, Object value) {
        json.put(file, Json.write(value) + "\n");
        return this;
    }

    /** A file with tensors as they will be when it is written, or copied by a {@link CheckpointStore}. */
    public Contents tensors(String file, Map<String, Tensor> named) {
        tensors.put(file, new LinkedHashMap<>(named));
        return this;
    }

    /** The same with other tensors. @param copy of a key, which is unique, and a tensor */
    Contents map(BiFunction<String, Tensor, Tensor> copy) {
        var copies = new Contents(json);
        tensors.forEach((file, named) -> {
            var copied = new LinkedHashMap<String, Tensor>();
            named.forEach((name, tensor) -> copied.put(name, copy.apply(file + "/" + name, tensor)));
            copies.tensors.put(file, copied);
        });
        return copies;
    }

    @Override
    public void write(NewFolder folder) throws IOException {
        for (var file : tensors.entrySet()) {
            try (var channel = folder.file(file.getKey())) {
                Safetensors.write(channel, file.getValue(), Map.of());
            }
        }
        for (var file : json.entrySet()) {
            folder.write(file.getKey(), file.getValue());
        }
    }
}
