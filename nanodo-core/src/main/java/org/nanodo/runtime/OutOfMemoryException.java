package org.nanodo.runtime;

/** Thrown if LibTorch needs more memory than the host or the GPU has left. Only the result of the operation is lost. */
public final class OutOfMemoryException extends IllegalStateException {
    private static final long serialVersionUID = 1;

    OutOfMemoryException(String message) {
        super(message);
    }
}
