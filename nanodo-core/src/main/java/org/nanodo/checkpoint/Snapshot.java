package org.nanodo.checkpoint;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Copies of tensors in memory on the host that is kept for the next time: getting it from the system costs most. */
final class Snapshot implements AutoCloseable {
    private final Map<String, Tensor> copies = new HashMap<>();

    /** The contents as they are now. They stay so until the next call. */
    Contents of(Contents contents) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            return contents.map(this::copy);
        }
    }

    private Tensor copy(String key, Tensor tensor) {
        Tensor copy = copies.get(key);
        if (copy == null
                || Tensors.type(copy) != Tensors.type(tensor)
                || !Arrays.equals(copy.shape(), tensor.shape())) {
            if (copy != null) {
                copy.close();
            }
            copy = Scope.keep(Tensors.hostBuffer(tensor));
            copies.put(key, copy);
        }
        copy.copy_(tensor);
        return copy;
    }

    @Override
    public void close() {
        copies.values().forEach(Tensor::close);
        copies.clear();
    }
}
