package org.nanodo.checkpoint;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * A range of a tensor's elements in row-major order: what one rank holds of the tensor, or the whole tensor.
 *
 * @param values the elements, in one dimension, or the whole tensor in its own shape
 * @param shape the whole tensor's shape
 * @param start the index of the first element
 */
public record Slice(Tensor values, long[] shape, long start) {
    public Slice {
        shape = shape.clone();
        if (start < 0 || start + values.numel() > numel(shape)) {
            throw new IllegalArgumentException(values.numel() + " elements starting at " + start
                    + " are not within a tensor of shape " + Arrays.toString(shape));
        }
    }

    /** Returns the slice that is the whole tensor. */
    public static Slice all(Tensor tensor) {
        return new Slice(tensor, tensor.shape(), 0);
    }

    /** Returns slices that are the whole tensors. */
    public static Map<String, Slice> all(Map<String, Tensor> tensors) {
        var slices = new LinkedHashMap<String, Slice>();
        tensors.forEach((name, tensor) -> slices.put(name, all(tensor)));
        return slices;
    }

    /** Returns the same range of another tensor of this shape, such as the parameter's moment. */
    public Slice with(Tensor values) {
        return new Slice(values, shape, start);
    }

    /** Returns whether the values are the whole tensor in its own shape. */
    public boolean isAll() {
        return Arrays.equals(values.shape(), shape);
    }

    /** @throws ArithmeticException if a size is negative, or the product overflows */
    static long numel(long[] shape) {
        if (Arrays.stream(shape).anyMatch(size -> size < 0)) {
            throw new ArithmeticException("negative size");
        }
        return Arrays.stream(shape).reduce(1, Math::multiplyExact);
    }
}
