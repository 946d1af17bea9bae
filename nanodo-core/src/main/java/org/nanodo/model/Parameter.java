package org.nanodo.model;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Scope;

/** A named float32 tensor that training changes. */
public final class Parameter {
    private final String name;
    private final Tensor tensor;
    private Tensor cast;

    public Parameter(String name, Tensor tensor) {
        this.name = name;
        this.tensor = tensor;
    }

    public String name() {
        return name;
    }

    public Tensor tensor() {
        return tensor;
    }

    /** The tensor in the type of the computation; gradients flow back to the float32 original. */
    public Tensor as(Dtype dtype) {
        if (dtype.scalarType() == ScalarType.Float) {
            return tensor;
        }
        return cast != null ? cast : tensor.to(dtype.scalarType());
    }

    /** Casts once for all that follows, until {@link #release}: the tensor must not change in between. */
    public void hold(Dtype dtype) {
        if (cast == null && dtype.scalarType() != ScalarType.Float) {
            cast = Scope.keep(tensor.to(dtype.scalarType()));
        }
    }

    /** Frees what {@link #hold} made. */
    public void release() {
        if (cast != null) {
            cast.close();
            cast = null;
        }
    }
}
