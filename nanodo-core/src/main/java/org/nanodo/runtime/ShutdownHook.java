package org.nanodo.runtime;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Stops the work of the thread that opened it when the JVM shuts down, and delays the shutdown until it is closed. */
public final class ShutdownHook implements AutoCloseable {
    private final CountDownLatch ended = new CountDownLatch(1);
    private final Thread runner = Thread.currentThread();
    private final Thread hook;

    /** @param stop makes the opening thread end its work soon */
    public ShutdownHook(Runnable stop) {
        hook = new Thread(() -> stopAndWait(stop), "nanodo-shutdown");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** Waits unless the runner itself ends the JVM: it would wait for this hook in turn. */
    private void stopAndWait(Runnable stop) {
        stop.run();
        try {
            while (!ended.await(20, TimeUnit.MILLISECONDS) && runner.isAlive() && !isExiting()) {
                // The current step continues.
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private boolean isExiting() {
        for (StackTraceElement frame : runner.getStackTrace()) {
            if (frame.getClassName().equals("java.lang.Shutdown")) {
                return true;
            }
        }
        return false;
    }

    @Override
    public void close() {
        ended.countDown();
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // The JVM is shutting down and the hook has run.
        }
    }
}
