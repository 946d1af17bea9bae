package org.nanodo.runtime;

/** Thrown if a collective fails because a rank is missing or the transport failed. The run can only continue after a restart. */
public final class CollectiveException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** @param message the operation, the rank, and the missing ranks where they are known */
    public CollectiveException(String message) {
        super(message);
    }

    public CollectiveException(String message, Throwable cause) {
        super(message, cause);
    }
}
