package org.nanodo.runtime;

import java.util.concurrent.atomic.AtomicLong;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/**
 * Frees the native objects that this thread makes while the scope is open, all but those that {@link #export} or
 * {@link #keep} take out. Autograd holds what it needs by itself: closing a tensor only gives up this handle.
 */
public final class Scope implements AutoCloseable {
    /** The collector sees small handles, not the memory behind them, so that it has to be called. */
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

    /** Hands an object to the scope around this one, or to the garbage collector where there is none. */
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

    /** Takes an object out of all scopes: it lives until its owner closes it, or until nothing refers to it. */
    public static <P extends Pointer> P keep(P pointer) {
        pointer.retainReference();
        return pointer;
    }

    @Override
    public void close() {
        scope.close();
    }
}
