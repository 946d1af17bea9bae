package org.nanodo.train;

import java.util.List;
import org.nanodo.model.ModelUse;
import org.nanodo.model.Parameter;

/** Lets one thread at a time use a trainer and its model, and frees the trainer as soon as it is closed and unused. */
final class ExclusiveUse {
    private final List<Parameter> parameters;
    private final Runnable free;
    private Thread user;
    private boolean closed;

    /**
     * @param parameters parameters that no other thread may use or free meanwhile
     * @param free frees the trainer
     */
    ExclusiveUse(List<Parameter> parameters, Runnable free) {
        this.parameters = parameters;
        this.free = free;
    }

    /** A use by one thread, until it is closed. */
    interface Turn extends AutoCloseable {
        @Override
        void close();
    }

    /** @throws IllegalStateException if trainer or model are closed, or another thread uses them */
    synchronized Turn begin() {
        if (closed) {
            throw new IllegalStateException("This trainer is closed: build a new one");
        }
        if (user != null) {
            throw new IllegalStateException(
                    "This trainer is in use by the thread \"" + user.getName() + "\": wait until it has finished");
        }
        ModelUse training = ModelUse.training(parameters);
        user = Thread.currentThread();
        return () -> end(training);
    }

    private synchronized void end(ModelUse training) {
        training.close();
        user = null;
        if (closed) {
            notifyAll(); // first, in case freeing fails: the waiting thread continues when this method ends
            free.run();
        }
    }

    /**
     * Frees the trainer, after a use on another thread has ended. A use on this thread frees it when it ends.
     *
     * @param stop makes a use end soon
     */
    synchronized void close(Runnable stop) {
        if (closed) {
            return;
        }
        closed = true;
        if (user == null) {
            free.run();
            return;
        }
        stop.run();
        boolean interrupted = false;
        while (user != null && user != Thread.currentThread()) {
            try {
                wait();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
