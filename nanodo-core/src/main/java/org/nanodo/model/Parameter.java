package org.nanodo.model;

import java.util.Arrays;
import java.util.function.Supplier;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.checkpoint.Slice;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Scope;

/**
 * A named float32 tensor that training changes, or the {@link Slice} of one that this rank has.
 *
 * <p>Threads: any. Each caller gets a handle of its own on the shared values, so that {@link #close} on one thread never
 * takes the memory from under another, which is answered "closed" the next time it asks.
 */
public final class Parameter implements AutoCloseable {
    private final String name;
    private final long[] shape;
    private final long[] wholeShape;
    private final long start;
    private final Dtype dtype;
    private final Supplier<Tensor> initial;
    private Tensor tensor;
    private Tensor cast;
    private boolean castRecords; // whether gradients flow from the cast to the tensor, or end there on purpose
    private int holders; // of the cast
    private String absence;
    private boolean closed;
    private int inferences; // calls under way that read it
    private int trainings; // the same of those that change it, nested on one thread
    private Thread trainer;

    public Parameter(String name, Tensor tensor) {
        this(name, Slice.all(tensor));
    }

    public Parameter(String name, Slice slice) {
        this(name, slice.values().shape(), slice.shape(), slice.start(), Dtype.FLOAT32, slice::values);
        tensor = slice.values();
    }

    /** @param initial makes the values when they are first asked for: whoever shards a model asks for one at a time */
    public Parameter(String name, long[] shape, Supplier<Tensor> initial) {
        this(name, shape, Dtype.FLOAT32, initial);
    }

    /**
     * @param dtype the only type that the model reads it in. With any but float32 the model calls {@link #as} alone, never
     *     {@link #tensor()}, and whoever shards it need not bring more than that: half the traffic and memory in bfloat16.
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

    /** How many numbers it has. */
    public long numel() {
        return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    }

    /** The type that the model reads it in; its own values are float32 whatever this is. */
    public Dtype dtype() {
        return dtype;
    }

    /**
     * The values, in a handle that belongs to the caller's {@link Scope} or to the garbage collector.
     *
     * @throws IllegalStateException if the model is closed, or the values are elsewhere: {@link #absent}
     */
    public synchronized Tensor tensor() {
        checkUsable();
        if (tensor == null) {
            try (Tensor made = initial.get()) { // which may belong to the scope of whoever asks first
                tensor = Scope.keep(new Tensor(made));
            }
            tensor.set_requires_grad(true);
        }
        return new Tensor(tensor);
    }

    /** Which elements of the model's parameter it is: all, unless the model is sharded. */
    public Slice slice() {
        return new Slice(tensor(), wholeShape, start);
    }

    /**
     * Says that its tensor cannot be used now, and why; null ends that.
     *
     * @throws IllegalStateException if an inference uses it
     */
    public synchronized void absent(String reason) {
        if (reason != null && inferences > 0) {
            throw new IllegalStateException(
                    name + " cannot be taken away while an inference uses it: wait for its end");
        }
        absence = reason;
    }

    /** The tensor in the type of the computation; gradients flow back to the float32 original. */
    public synchronized Tensor as(Dtype dtype) {
        if (dtype.scalarType() == ScalarType.Float) {
            return tensor();
        }
        checkOpen();
        return cast != null && (castRecords || !GradMode.is_enabled())
                ? new Tensor(cast)
                : tensor().to(dtype.scalarType());
    }

    /**
     * Casts once for all that follows, until every holder has called {@link #release}: the tensor must not change in
     * between.
     */
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
     * Takes this for the tensor in the type of the computation, until {@link #release}, even where the tensor itself is
     * {@link #absent}; gradients then end there.
     */
    public synchronized void hold(Tensor cast) {
        freeCast();
        this.cast = Scope.keep(new Tensor(cast));
        castRecords = true;
        holders = 1;
    }

    /** Ends one {@link #hold}; the last one frees the cast. */
    public synchronized void release() {
        if (holders > 0 && --holders == 0) {
            freeCast();
        }
    }

    synchronized void beginInference() {
        checkOpen();
        if (trainings > 0 && trainer != Thread.currentThread()) {
            throw new IllegalStateException("The model is being trained by the thread \"" + trainer.getName()
                    + "\": use it on that thread, in a listener, or after the end of the run");
        }
        inferences++;
    }

    synchronized void endInference() {
        inferences--;
        freeIfUnused();
    }

    synchronized void beginTraining() {
        checkOpen();
        if (trainings > 0 && trainer != Thread.currentThread()) {
            throw new IllegalStateException("The model is being trained by the thread \"" + trainer.getName()
                    + "\" already: a model has one trainer at a time");
        }
        if (trainings == 0 && inferences > 0) {
            throw new IllegalStateException("The model cannot be trained while " + inferences
                    + " call(s) generate or evaluate with it: wait for their end, or train a copy");
        }
        trainer = Thread.currentThread();
        trainings++;
    }

    synchronized void endTraining() {
        trainings--;
        if (trainings == 0) {
            trainer = null;
        }
        freeIfUnused();
    }

    private void checkUsable() {
        checkOpen();
        if (absence != null) {
            throw new IllegalStateException(name + " is not here: " + absence);
        }
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

    /** Frees its memory, at once or when the calls that use it have ended. What is asked of it from now on is refused. */
    @Override
    public synchronized void close() {
        closed = true;
        freeIfUnused();
    }
}
