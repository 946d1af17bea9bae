package org.nanodo.examples;

import java.io.IOException;
import java.io.UncheckedIOException;
import picocli.CommandLine;

/** What the mains have in common. */
final class Examples {
    private Examples() {}

    /** Runs a command; what a user did wrong is told in a line, not a stack trace. */
    static void run(Object command, String... args) {
        int status = new CommandLine(command)
                .setExecutionExceptionHandler((e, line, parsed) -> {
                    if (e instanceof IOException
                            || e instanceof UncheckedIOException
                            || e instanceof IllegalArgumentException) {
                        line.getErr().println(e.getMessage());
                        return 1;
                    }
                    throw e;
                })
                .execute(args);
        if (status != 0) {
            System.exit(status);
        }
    }
}
