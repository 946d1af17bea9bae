package org.nanodo.runtime;

import com.sun.jna.Platform;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A thread for work beside the computation. */
public final class BackgroundThread {
    private static final Logger log = LoggerFactory.getLogger(BackgroundThread.class);

    private BackgroundThread() {}

    /**
     * Starts a thread that the computation's threads go before. They wait for one another at the end of each operation, so
     * that one busy thread of their own rank makes a step on the CPU seven to ten times as long, and this one a quarter
     * longer. The JVM's end waits for it.
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

    /** On Linux, where Java's own priorities do nothing and the system's are a thread's own. */
    private static void yieldToOthers() {
        if (!Platform.isLinux()) {
            Thread.currentThread().setPriority(Thread.MIN_PRIORITY);
            return;
        }
        try {
            int thisThread = 0;
            CLibrary.load().setpriority(0, thisThread, 10);
        } catch (LinkageError e) { // the work has to be done all the same: somebody waits for it
            log.warn(
                    "{} runs with the computation's priority and slows it down: {}",
                    Thread.currentThread(),
                    e.toString());
        }
    }
}
