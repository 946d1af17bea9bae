package org.nanodo.files;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;

/** Completes messages of exceptions for which the operating system gives only a file's name. */
public final class Failures {
    private Failures() {}

    /** Returns an exception's message, with the reason and the remedy where the message has none. */
    public static String reason(IOException e) {
        String message = String.valueOf(e.getMessage());
        if (message.contains("Too many open files") && !message.contains("ulimit")) {
            return message + ". This process may open no more: raise its limit, for example by ulimit -n 65536";
        } else if (e instanceof AccessDeniedException denied && denied.getReason() == null) {
            return message + " may not be read by this user";
        } else if (e instanceof NoSuchFileException gone && gone.getReason() == null && !message.contains(" ")) {
            return message + " no longer exists";
        }
        return message;
    }
}
