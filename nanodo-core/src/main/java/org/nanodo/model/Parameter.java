package org.nanodo.model;

import java.util.Arrays;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.checkpoint.Slice;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Scope;

/** A named float32 tensor that training changes, or the {@link Slice} of one that this rank has. */
public final class Parameter implements AutoCloseable {
    private final String name;
    private final long[] shape;
    private final long[] wholeShape;
    private final long start;
    private final Supplier<Tensor> initial;
    private Tensor tensor;
    private Tensor cast;
    private String absence;

    public Parameter(String name, Tensor tensor) {
        this(name, Slice.all(tensor));
    }

    public Parameter(String name, Slice slice) {
        this(name, slice.values().shape(), slice.shape(), slice.start(), slice::values);
        tensor = slice.values();
    }

    /** @param initial makes the values when they are first asked for: whoever shards a model asks for one at a time */
    public Parameter(String name, long[] shape, Supplier<Tensor> initial) {
        this(name, shape, shape, 0, initial);
    }

    private Parameter(String name, long[] shape, long[] wholeShape, long start, Supplier<Tensor> initial) {
        this.name = name;
        this.shape = shape.clone();
        this.wholeShape = wholeShape.clone();
        this.start = start;
        this.initial = initial;
    }

    public String name() {
        return name;
    }

    public long[] shape() {
        return shape.clone();
    }

    /** How many numbers it has. */
    public long numel() {
        return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    }

    /** @throws IllegalStateException if it is elsewhere: {@link #absent} */
    public Tensor tensor() {
        if (absence != null) {
            throw new IllegalStateException(name + " is not here: " + absence);
        }
        if (tensor == null) {
            tensor = initial.get();
            tensor.set_requires_grad(true);
        }
        return tensor;
    }

    /** Which elements of the model's parameter it is: all, unless the model is sharded. */
    public Slice slice() {
        return new Slice(tensor(), wholeShape, start);
    }

    /** Says that its tensor cannot be used now, and why; null ends that. */
    public void absent(String reason) {
        absence = reason;
    }

    /** The tensor in the type of the computation; gradients flow back to the float32 original. */
    public Tensor as(Dtype dtype) {
        if (dtype.scalarType() == ScalarType.Float) {
            return tensor();
        }
        return cast != null ? cast : tensor().to(dtype.scalarType());
    }

    /** Casts once for all that follows, until {@link #release}: the tensor must not change in between. */
    public void hold(Dtype dtype) {
        if (cast == null && dtype.scalarType() != ScalarType.Float) {
            cast = Scope.keep(tensor().to(dtype.scalarType()));
        }
    }

    /** Takes this for the tensor in the type of the computation, until {@link #release}; gradients then end there. */
    public void hold(Tensor cast) {
        release();
        this.cast = Scope.keep(new Tensor(cast));
    }

    /** Frees what {@link #hold} made. */
    public void release() {
        if (cast != null) {
            cast.close();
            cast = null;
        }
    }

    /** Frees its memory. */
    @Override
    public void close() {
        release();
        if (tensor != null) {
            tensor.close();
        }
    }
}
