package org.nanodo.runtime;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Platform;

/** A thread for work beside the computation. */
public final class BackgroundThread {
    private interface CLibrary extends Library {
        int setpriority(int which, int who, int niceness);
    }

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
        if (Platform.isLinux()) {
            int thisThread = 0;
            Native.load("c", CLibrary.class).setpriority(0, thisThread, 10);
        } else {
            Thread.currentThread().setPriority(Thread.MIN_PRIORITY);
        }
    }
}
