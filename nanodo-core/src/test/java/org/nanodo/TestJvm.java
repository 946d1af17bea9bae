package org.nanodo;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** A fresh JVM with the class path of the tests, where natives start anew. */
public final class TestJvm {
    private TestJvm() {}

    /** @param command JVM options, the main class, its arguments; output and errors come as one stream */
    public static Process start(String... command) throws IOException {
        return start(Map.of(), command);
    }

    /** @param environment what is set besides */
    public static Process start(Map<String, String> environment, String... command) throws IOException {
        var builder = new ProcessBuilder(line(command)).redirectErrorStream(true);
        builder.environment().remove("OMP_NUM_THREADS");
        builder.environment().putAll(environment);
        return builder.start();
    }

    /** Runs it from a shell that sets a limit first, such as {@code ulimit -n 40}, which the JVM inherits. */
    public static String runWithLimit(String limit, String... command) throws IOException, InterruptedException {
        var line = new ArrayList<>(List.of("sh", "-c", limit + "; exec \"$0\" \"$@\""));
        line.addAll(line(command));
        return output(new ProcessBuilder(line).redirectErrorStream(true).start());
    }

    /** Runs it to its end and returns all it printed. */
    public static String run(String... command) throws IOException, InterruptedException {
        return output(start(command));
    }

    /** All that it prints until it ends. */
    public static String output(Process process) throws IOException, InterruptedException {
        String output = new String(process.getInputStream().readAllBytes());
        process.waitFor();
        return output;
    }

    private static List<String> line(String... command) {
        var line = new ArrayList<>(
                List.of(System.getProperty("java.home") + File.separator + "bin" + File.separator + "java"));
        line.addAll(List.of("-cp", System.getProperty("java.class.path")));
        line.addAll(Arrays.asList(command));
        return line;
    }
}
