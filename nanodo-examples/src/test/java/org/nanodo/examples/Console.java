package org.nanodo.examples;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.util.function.Supplier;
import picocli.CommandLine;

/** What a command returned, and printed to either stream: picocli keeps the stream it finds when it is made. */
record Console(int status, String output) {
    static Console of(Supplier<CommandLine> command, String... args) {
        var bytes = new ByteArrayOutputStream();
        PrintStream out = System.out;
        PrintStream err = System.err;
        var print = new PrintStream(bytes, true);
        System.setOut(print);
        System.setErr(print);
        try {
            int status = Examples.execute(command.get(), args);
            return new Console(status, bytes.toString());
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
    }
}
