package org.nanodo.checkpoint;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * What one rank has of a tensor: neighbouring elements in row-major order.
 *
 * @param values those elements: in one dimension, or the whole tensor as it is
 * @param shape the whole tensor's
 * @param start the first of them
 */
public record Slice(Tensor values, long[] shape, long start) {
    public Slice {
        shape = shape.clone();
        if (start < 0 || start + values.numel() > numel(shape)) {
            throw new IllegalArgumentException(values.numel() + " elements from " + start
                    + " on are not in a tensor of " + Arrays.toString(shape));
        }
    }

    /** The whole tensor. */
    public static Slice all(Tensor tensor) {
        return new Slice(tensor, tensor.shape(), 0);
    }

    /** Whole tensors by name. */
    public static Map<String, Slice> all(Map<String, Tensor> tensors) {
        var slices = new LinkedHashMap<String, Slice>();
        tensors.forEach((name, tensor) -> slices.put(name, all(tensor)));
        return slices;
    }

    /** The same elements of a tensor of the same shape: a moment's, say. */
    public Slice with(Tensor values) {
        return new Slice(values, shape, start);
    }

    /** Whether the values are the whole tensor in its own shape. */
    public boolean isAll() {
        return Arrays.equals(values.shape(), shape);
    }

    private static long numel(long[] shape) {
        return Arrays.stream(shape).reduce(1, Math::multiplyExact);
    }
}
