package org.nanodo.runtime;

import com.sun.jna.Platform;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Starts threads for work beside the computation. */
public final class BackgroundThread {
    private static final Logger log = LoggerFactory.getLogger(BackgroundThread.class);

    private BackgroundThread() {}

    /**
     * Starts a thread of lower priority than the computation's threads. Those wait for one another at the end of each
     * operation, so that a busy thread of equal priority makes a step on the CPU seven to ten times as long, and one of lower
     * priority a quarter longer. The JVM does not exit before the thread ends.
     */
    public static void start(String name, Runnable work) {
        var thread = new Thread(
                () -> {
                    yieldToOthers();
                    work.run();
                },
                name);
        thread.setDaemon(false);
        thread.start();
    }

    /** Lowers this thread's priority. On Linux Java's priorities have no effect, while the system's apply to single threads. */
    private static void yieldToOthers() {
        if (!Platform.isLinux()) {
            Thread.currentThread().setPriority(Thread.MIN_PRIORITY);
            return;
        }
        try {
            int thisThread = 0;
            CLibrary.load().setpriority(0, thisThread, 10);
        } catch (LinkageError | RuntimeException e) { // the work is done anyway, since somebody waits for it
            log.warn("{} has the computation's priority and slows it down: {}", Thread.currentThread(), e.toString());
        }
    }
}
