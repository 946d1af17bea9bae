package org.nanodo.model;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Dtype;

/** A named float32 tensor that training changes. */
public record Parameter(String name, Tensor tensor) {
    /** The tensor in the type of the computation; gradients flow back to the float32 original. */
    public Tensor as(Dtype dtype) {
        return tensor.to(dtype.scalarType());
    }
}
