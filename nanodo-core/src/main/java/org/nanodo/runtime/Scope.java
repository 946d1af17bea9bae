package org.nanodo.runtime;

import java.util.concurrent.atomic.AtomicLong;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/**
 * Frees the native objects that this thread creates while the scope is open, except those that {@link #export} or
 * {@link #keep} remove from it. Closing a tensor releases one handle only: autograd keeps the tensors that it needs.
 */
public final class Scope implements AutoCloseable {
    /** Bytes after which the garbage collector is called, since it sees only small handles and not the memory behind them. */
    private static final long COLLECT_AFTER = 1L << 30;

    private static final AtomicLong leftToCollector = new AtomicLong();

    private final PointerScope outer;
    private final PointerScope scope;

    private Scope() {
        Natives.start();
        outer = PointerScope.getInnerScope();
        scope = new PointerScope();
    }

    public static Scope open() {
        return new Scope();
    }

    /** Moves an object to the enclosing scope, or leaves it to the garbage collector if there is none. */
    public <P extends Pointer> P export(P pointer) {
        if (outer == null) {
            if (pointer instanceof Tensor tensor && leftToCollector.addAndGet(tensor.nbytes()) > COLLECT_AFTER) {
                leftToCollector.set(0);
                System.gc();
            }
            return keep(pointer);
        }
        outer.attach(pointer);
        return pointer;
    }

    /** Removes an object from all scopes: it lives until its owner closes it or until nothing refers to it. */
    public static <P extends Pointer> P keep(P pointer) {
        pointer.retainReference();
        return pointer;
    }

    @Override
    public void close() {
        scope.close();
    }
}
