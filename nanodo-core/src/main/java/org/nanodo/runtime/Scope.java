package org.nanodo.runtime;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;

/**
 * Frees the native objects that this thread makes while the scope is open, all but those that {@link #export} or
 * {@link #keep} take out. Autograd holds what it needs by itself: closing a tensor only gives up this handle.
 */
public final class Scope implements AutoCloseable {
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
