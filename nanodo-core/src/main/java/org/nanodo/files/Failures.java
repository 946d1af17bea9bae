package org.nanodo.files;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;

/** What to say where the operating system says too little. */
public final class Failures {
    private Failures() {}

    /** An exception's message, and where the remedy is not in the data, what it is. */
    public static String reason(IOException e) {
        String message = String.valueOf(e.getMessage());
        if (message.contains("Too many open files") && !message.contains("ulimit")) {
            return message + ". This process may open no more: raise its limit, by ulimit -n 65536";
        } else if (e instanceof AccessDeniedException denied && denied.getReason() == null) {
            return message + " may not be read by this user";
        } else if (e instanceof NoSuchFileException gone && gone.getReason() == null && !message.contains(" ")) {
            return message + " is not there any more";
        }
        return message;
    }
}
