package org.nanodo.runtime;

/** LibTorch has asked for more memory than the host or the GPU has left. What was computed is lost; nothing else is harmed. */
public final class OutOfMemoryException extends IllegalStateException {
    private static final long serialVersionUID = 1;

    OutOfMemoryException(String message) {
        super(message);
    }
}
