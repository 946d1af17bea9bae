package org.nanodo.examples;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.nanodo.train.DivergedException;
import picocli.CommandLine;

/** The handling of commands that all mains share. */
final class Examples {
    private Examples() {}

    static void main(Object command, String... args) {
        exit(execute(command, args));
    }

    /** Exits only after a failure, since a main shares its JVM with Maven. */
    static void exit(int status) {
        if (status != 0) {
            System.exit(status);
        }
    }

    static int execute(Object command, String... args) {
        return execute(new CommandLine(command), args);
    }

    /** Runs a command. An error of the user is printed as one line, without a stack trace. */
    static int execute(CommandLine command, String... args) {
        return command.setExecutionExceptionHandler((e, line, parsed) -> {
                    if (e instanceof IOException
                            || e instanceof UncheckedIOException
                            || e instanceof IllegalArgumentException
                            || e instanceof IllegalStateException
                            || e instanceof DivergedException) {
                        line.getErr().println(e.getMessage());
                        return 1;
                    }
                    throw e;
                })
                .execute(args);
    }
}
