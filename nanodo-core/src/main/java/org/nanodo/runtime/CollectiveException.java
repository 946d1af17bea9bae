package org.nanodo.runtime;

/** The ranks could not do something together: one is missing, or the transport failed. The run cannot go on without a restart. */
public final class CollectiveException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** @param message which operation, on which rank, and who is missing, where that is known */
    public CollectiveException(String message) {
        super(message);
    }

    public CollectiveException(String message, Throwable cause) {
        super(message, cause);
    }
}
