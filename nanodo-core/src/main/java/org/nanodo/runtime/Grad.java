package org.nanodo.runtime;

import org.bytedeco.pytorch.GradMode;

/** Switches the recording of gradients for the current thread until closed: {@code try (var off = Grad.off()) { … }}. */
public final class Grad implements AutoCloseable {
    private final boolean before;

    private Grad(boolean enabled) {
        Natives.start();
        before = GradMode.is_enabled();
        GradMode.set_enabled(enabled);
    }

    public static Grad off() {
        return new Grad(false);
    }

    public static Grad on() {
        return new Grad(true);
    }

    @Override
    public void close() {
        GradMode.set_enabled(before);
    }
}
