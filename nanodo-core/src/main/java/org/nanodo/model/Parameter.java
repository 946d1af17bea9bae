package org.nanodo.model;

import java.util.Arrays;
import java.util.function.Supplier;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.checkpoint.Slice;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Scope;

/**
 * A named float32 tensor that training changes, or a rank's {@link Slice} of it.
 *
 * <p>Thread-safe. Each caller gets its own handle to the shared values, so that {@link #close} on one thread never frees memory
 * that another thread is using; that thread gets an {@link IllegalStateException} at its next call.
 */
public final class Parameter implements AutoCloseable {
    private final String name;
    private final long[] shape;
    private final long[] wholeShape;
    private final long start;
    private final Dtype dtype;
    private final Supplier<Tensor> initial; // null for values that autograd does not know
    private boolean trainable = true;
    private Tensor tensor;
    private Tensor cast;
    private boolean castRecords; // whether gradients flow from the cast to the tensor, or end there on purpose
    private int holders; // of the cast
    private String absence;
    private boolean closed;
    private int inferences; // calls in progress that read it
    private int trainings; // calls in progress that change it, nested on one thread
    private Thread trainer;

    public Parameter(String name, Tensor tensor) {
        this(name, Slice.all(tensor));
    }

    /** Creates a parameter with these values, of which autograd knows nothing. */
    public Parameter(String name, Slice slice) {
        this(name, slice.values().shape(), slice.shape(), slice.start(), Dtype.FLOAT32, null);
        tensor = slice.values();
    }

    /**
     * @param dtype the only type in which the model reads it. With any but float32 the model only calls {@link #as}, never {@link
     *     #tensor()}, so that a sharded run gathers it in that type: in bfloat16, half the traffic and memory
     * @param initial creates the values when they are first used, so that sharding a model creates one parameter at a time
     */
    public Parameter(String name, long[] shape, Dtype dtype, Supplier<Tensor> initial) {
        this(name, shape, shape, 0, dtype, initial);
    }

    private Parameter(String name, long[] shape, long[] wholeShape, long start, Dtype dtype, Supplier<Tensor> initial) {
        this.name = name;
        this.shape = shape.clone();
        this.wholeShape = wholeShape.clone();
        this.start = start;
        this.dtype = dtype;
        this.initial = initial;
    }

    public String name() {
        return name;
    }

    public long[] shape() {
        return shape.clone();
    }

    /** Returns the number of elements. */
    public long numel() {
        return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    }

    /** Returns the type in which the model reads it; the values themselves are always float32. */
    public Dtype dtype() {
        return dtype;
    }

    /**
     * Returns the values, in a handle that belongs to the caller's {@link Scope} or to the garbage collector.
     *
     * @throws IllegalStateException if the model is closed, or the values are {@link #absent}
     */
    public synchronized Tensor tensor() {
        checkOpen();
        if (absence != null) {
            throw new IllegalStateException(name + " is not in memory: " + absence);
        }
        if (tensor == null) {
            try (Tensor created = initial.get()) { // it may belong to the scope of the first caller
                tensor = Scope.keep(new Tensor(created));
            }
            tensor.set_requires_grad(trainable);
        }
        return new Tensor(tensor);
    }

    /** Sets whether training changes the values. A parameter that is frozen has no gradient, but is saved like all others. */
    public synchronized void trainable(boolean trains) {
        if (tensor != null && initial != null) {
            tensor.set_requires_grad(trains);
        }
        trainable = trains;
    }

    public synchronized boolean isTrainable() {
        return trainable;
    }

    /** Returns the gradient, dense, and zeros if no loss has depended on this parameter. */
    public Tensor gradient() {
        Tensor values = tensor();
        Tensor gradient = values.grad();
        if (!gradient.defined()) {
            values.mutable_grad().put(torch.zeros_like(values));
        } else if (gradient.is_sparse()) { // an embedding's, to which no head has added its own
            values.mutable_grad().put(gradient.to_dense());
        }
        return values.grad();
    }

    /** Returns whether a tensor is this parameter or a view of it. */
    public synchronized boolean sharesMemoryWith(Tensor other) {
        return tensor != null && isSameMemory(tensor, other) || cast != null && isSameMemory(cast, other);
    }

    private static boolean isSameMemory(Tensor one, Tensor other) {
        try (var scope = Scope.open()) {
            return other.numel() > 0
                    && one.numel() > 0
                    && one.storage().data().address() == other.storage().data().address();
        }
    }

    /** Returns the values and their place in the model's parameter, which they are a part of if the model is sharded. */
    public Slice slice() {
        return new Slice(tensor(), wholeShape, start);
    }

    /**
     * Refuses access to the tensor until this is called with null.
     *
     * @param reason what the refusals say
     * @throws IllegalStateException if an inference is using it
     */
    public synchronized void absent(String reason) {
        if (reason != null && inferences > 0) {
            throw new IllegalStateException(name + " cannot be freed while an inference uses it: wait until it ends");
        }
        absence = reason;
    }

    /** Returns the tensor in the type of the computation; gradients flow back to the float32 values. */
    public synchronized Tensor as(Dtype dtype) {
        if (dtype.scalarType() == ScalarType.Float) {
            return tensor();
        }
        checkOpen();
        return cast != null && (castRecords || !GradMode.is_enabled())
                ? new Tensor(cast)
                : tensor().to(dtype.scalarType());
    }

    /** Casts once, until every holder has called {@link #release}; the values must not change before that. */
    public synchronized void hold(Dtype dtype) {
        if (cast == null && dtype.scalarType() != ScalarType.Float) {
            try (var scope = Scope.open()) {
                cast = Scope.keep(tensor().to(dtype.scalarType()));
                castRecords = GradMode.is_enabled();
            }
        }
        holders++;
    }

    /**
     * Uses this cast as the tensor in the type of the computation until {@link #release}, even if the tensor itself is {@link
     * #absent}; gradients end at the cast.
     */
    public synchronized void hold(Tensor cast) {
        freeCast();
        this.cast = Scope.keep(new Tensor(cast));
        castRecords = true;
        holders = 1;
    }

    /** Ends one {@link #hold}; ending the last one frees the cast. */
    public synchronized void release() {
        if (holders > 0 && --holders == 0) {
            freeCast();
        }
    }

    synchronized void begin(boolean training) {
        checkOpen();
        if (trainings > 0 && trainer != Thread.currentThread()) {
            throw new IllegalStateException("The model is being trained by the thread \"" + trainer.getName()
                    + "\": use it on that thread, in a listener, or after the end of the run");
        }
        if (!training) {
            inferences++;
            return;
        }
        if (trainings == 0 && inferences > 0) {
            throw new IllegalStateException("The model cannot be trained while " + inferences
                    + " call(s) generate or evaluate with it: wait until they end, or train a copy");
        }
        trainer = Thread.currentThread();
        trainings++;
    }

    synchronized void end(boolean training) {
        if (training) {
            trainings--;
        } else {
            inferences--;
        }
        freeIfUnused();
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException(
                    "The model is closed, and the values of " + name + " are freed: create or load it again");
        }
    }

    private void freeIfUnused() {
        if (closed && inferences == 0 && trainings == 0) {
            freeCast();
            if (tensor != null) {
                tensor.close();
                tensor = null;
            }
        }
    }

    private void freeCast() {
        if (cast != null) {
            cast.close();
            cast = null;
        }
        holders = 0;
    }

    /** Frees the memory at once, or when the calls that use it have ended. Later calls are refused. */
    @Override
    public synchronized void close() {
        closed = true;
        freeIfUnused();
    }
}
