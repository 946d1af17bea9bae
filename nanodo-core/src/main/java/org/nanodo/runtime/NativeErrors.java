package org.nanodo.runtime;

import java.util.Locale;
import java.util.regex.Pattern;

/**
 * Turns errors of LibTorch into exceptions that a user can read. The bindings throw a bare {@link RuntimeException} whose
 * message ends in dozens of C++ frames.
 */
public final class NativeErrors {
    private static final Pattern CLOSED = Pattern.compile("(This p|P)ointer address (of argument \\d+ )?is NULL\\.");
    private static final Pattern HOST = Pattern.compile("you tried to allocate (\\d+) bytes");
    private static final Pattern CUDA = Pattern.compile(
            "Tried to allocate ([\\d.]+ \\w+)\\. GPU (\\d+) has a total capacity of ([\\d.]+ \\w+) of which ([\\d.]+ \\w+) is free");
    private static final Pattern FRAMES = Pattern.compile("\\s*\n(Exception raised from |frame #).*", Pattern.DOTALL);
    private static final String ADVICE =
            ": take a smaller batch, a shorter context or a smaller model, or turn remat on.";

    private NativeErrors() {}

    /**
     * Returns the exception to throw in place of one that LibTorch has thrown; the same one if it needs no explanation. The new
     * exception has the Java stack trace of the original but no cause, which would print the C++ frames.
     *
     * @param what the operation that failed, such as "a step of training"
     * @return an {@link OutOfMemoryException} if memory ran out, an {@link IllegalStateException} for a closed tensor
     */
    public static RuntimeException explain(RuntimeException e, String what) {
        String message = String.valueOf(e.getMessage());
        RuntimeException explained;
        if (e instanceof NullPointerException && CLOSED.matcher(message).matches()) {
            explained = new IllegalStateException("A tensor that " + what + " needs is closed");
        } else if (e.getClass() != RuntimeException.class) {
            return e;
        } else if (CUDA.matcher(message).find() || HOST.matcher(message).find() || message.equals("std::bad_alloc")) {
            explained = new OutOfMemoryException(memory(message, what));
        } else if (FRAMES.matcher(message).find()) {
            explained = new RuntimeException(
                    FRAMES.matcher(message).replaceFirst("").replace('\n', ' '));
        } else {
            return e;
        }
        explained.setStackTrace(e.getStackTrace());
        for (Throwable suppressed : e.getSuppressed()) {
            explained.addSuppressed(suppressed);
        }
        return explained;
    }

    private static String memory(String message, String what) {
        var cuda = CUDA.matcher(message);
        if (cuda.find()) {
            return "GPU " + cuda.group(2) + " has not enough memory for " + what + ": it has " + cuda.group(4) + " of "
                    + cuda.group(3) + " left, and " + cuda.group(1) + " more were asked for" + ADVICE;
        }
        var host = HOST.matcher(message);
        String asked =
                host.find() ? size(Long.parseLong(host.group(1))) + " more were asked for" : "more was asked for";
        long available = Memory.availableBytes();
        String left = available < 0
                ? ""
                : size(available) + " are left on it, this process has " + size(Memory.residentBytes()) + ", and ";
        return "The host has not enough memory for " + what + ": " + left + asked + ADVICE;
    }

    private static String size(long bytes) {
        String[] units = {"bytes", "KiB", "MiB", "GiB"};
        double size = bytes;
        int unit = 0;
        for (; size >= 1024 && unit < units.length - 1; unit++) {
            size /= 1024;
        }
        return String.format(Locale.ROOT, unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
    }
}
