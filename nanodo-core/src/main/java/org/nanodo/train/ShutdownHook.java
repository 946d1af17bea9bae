package org.nanodo.train;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** While it is open, a JVM that is told to end first stops what the thread that opened it does, and waits until it is closed. */
final class ShutdownHook implements AutoCloseable {
    private final CountDownLatch ended = new CountDownLatch(1);
    private final Thread runner = Thread.currentThread();
    private final Thread hook;

    /** @param stop lets the runner end soon */
    ShutdownHook(Runnable stop) {
        hook = new Thread(() -> stopAndWait(stop), "nanodo-shutdown");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** Unless it is the runner itself that ends the JVM. */
    private void stopAndWait(Runnable stop) {
        stop.run();
        try {
            while (!ended.await(20, TimeUnit.MILLISECONDS) && runner.isAlive() && !isExiting()) {
                // The current step goes on.
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
