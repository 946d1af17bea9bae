package org.nanodo.files;

/** Creates threads that do not keep the JVM from exiting. */
public final class DaemonThread {
    private DaemonThread() {}

    /** Creates a thread, which the caller starts. */
    public static Thread of(String name, Runnable work) {
        var thread = new Thread(work, name);
        thread.setDaemon(true);
        return thread;
    }
}
