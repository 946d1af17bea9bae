package org.nanodo.examples;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.ServerSocket;
import java.net.URISyntaxException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Starts the ranks of a run on this machine, like torchrun. */
@Command(
        name = "Launch",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description =
                "Runs a main class as W ranks on this machine, each in its own JVM with the variables that torchrun sets "
                        + "(RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT). When a rank fails, all are stopped, and its "
                        + "exit code is returned.")
public final class Launch implements Callable<Integer> {
    @Option(names = "-n", required = true, paramLabel = "W", description = "The number of ranks.")
    private int world;

    @Option(names = "--port", description = "The port at which the ranks meet; 0 chooses a free one.")
    private int port = 0;

    @Option(
            names = "--grace",
            paramLabel = "SECONDS",
            description =
                    "How long stopped ranks may take to end, for example to save a checkpoint, before they are killed.")
    private long grace = 30;

    @Option(
            names = "-J",
            paramLabel = "OPTION",
            showDefaultValue = CommandLine.Help.Visibility.NEVER,
            description = "An option for each rank's JVM, such as -J-Xmx4g. "
                    + "Without -J-Dnanodo.threads=n the ranks share the processors.")
    private List<String> jvmOptions = new ArrayList<>();

    @Parameters(index = "0", paramLabel = "MAIN", description = "The main class, with its package.")
    private String main;

    @Parameters(index = "1..*", paramLabel = "ARG", description = "Its arguments.")
    private List<String> arguments = new ArrayList<>();

    private final List<Process> ranks = new ArrayList<>();
    private final List<Thread> printers = new ArrayList<>();

    public static void main(String[] args) {
        Examples.exit(Examples.execute(command(), args));
    }

    /** Passes everything after the main class to that class, options too. */
    static CommandLine command() {
        return new CommandLine(new Launch()).setStopAtPositional(true);
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (world < 1 || world > 1024) {
            throw new IllegalArgumentException("-n " + world + ": a machine runs 1 to 1024 ranks");
        }
        try {
            Class.forName(main, false, Thread.currentThread().getContextClassLoader());
        } catch (ClassNotFoundException | LinkageError e) {
            throw new IllegalArgumentException(
                    "There is no class " + main + " on the class path: give its full name, such as "
                            + TrainJava.class.getName(),
                    e);
        }
        var stop = new Thread(this::stop);
        Runtime.getRuntime().addShutdownHook(stop); // Ctrl-C and SIGTERM
        try {
            start();
            return await();
        } finally {
            stop();
            try {
                Runtime.getRuntime().removeShutdownHook(stop);
            } catch (IllegalStateException e) {
                // it runs
            }
        }
    }

    private void start() throws IOException {
        if (port == 0) {
            try (var socket = new ServerSocket(0)) {
                port = socket.getLocalPort();
            }
        }
        int threads = Integer.getInteger("nanodo.threads", Runtime.getRuntime().availableProcessors());
        var command = new ArrayList<>(
                List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
        command.addAll(List.of("-cp", classPath(), "-Dnanodo.threads=" + Math.max(1, threads / world)));
        command.addAll(jvmOptions);
        command.add(main);
        command.addAll(arguments);
        for (int rank = 0; rank < world; rank++) {
            var builder = new ProcessBuilder(command);
            builder.environment().keySet().removeIf(name -> name.startsWith("TORCHELASTIC_"));
            builder.environment()
                    .putAll(Map.of(
                            "RANK", Integer.toString(rank),
                            "LOCAL_RANK", Integer.toString(rank),
                            "WORLD_SIZE", Integer.toString(world),
                            "MASTER_ADDR", "127.0.0.1",
                            "MASTER_PORT", Integer.toString(port)));
            Process process = builder.start();
            process.getOutputStream().close();
            synchronized (ranks) {
                ranks.add(process);
                print("[" + rank + "] ", process.getInputStream(), System.out);
                print("[" + rank + "] ", process.getErrorStream(), System.err);
            }
        }
    }

    /** Waits for the ranks and returns the exit code of the first to fail, or 0. */
    private int await() throws InterruptedException {
        BlockingQueue<Integer> ended = new LinkedBlockingQueue<>();
        for (int rank = 0; rank < world; rank++) {
            int number = rank;
            ranks.get(rank).onExit().thenRun(() -> ended.add(number));
        }
        for (int i = 0; i < world; i++) {
            int rank = ended.take();
            int status = ranks.get(rank).exitValue();
            if (status != 0) {
                System.err.println("Rank " + rank + " ended with exit code " + status + "; all ranks are stopped");
                return status;
            }
        }
        return 0;
    }

    /** Ends the running ranks by SIGTERM and, after the grace period, SIGKILL; returns when all output is printed. */
    private void stop() {
        synchronized (ranks) {
            ranks.forEach(rank -> rank.toHandle().destroy()); // Process.destroy() would also close its output
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(grace);
            try {
                for (Process rank : ranks) {
                    if (!rank.waitFor(end - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                        rank.destroyForcibly().waitFor();
                    }
                }
                for (Thread printer : printers) {
                    printer.join(5_000); // with a limit, since a child of the rank may hold its output open
                }
            } catch (InterruptedException e) {
                ranks.forEach(Process::destroyForcibly);
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Copies lines byte by byte, each with a prefix. */
    private void print(String prefix, InputStream from, PrintStream to) {
        var printer = new Thread(() -> {
            try (var lines = new BufferedReader(new InputStreamReader(from, StandardCharsets.ISO_8859_1))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    byte[] bytes = (prefix + line + System.lineSeparator()).getBytes(StandardCharsets.ISO_8859_1);
                    to.write(bytes, 0, bytes.length);
                    to.flush();
                }
            } catch (IOException e) {
                // the rank has ended
            }
        });
        printer.setDaemon(true);
        printer.start();
        printers.add(printer);
    }

    /** Returns the class path of the project, also under Maven, which runs mains in its own JVM with a class loader of their own. */
    private static String classPath() {
        if (!(Thread.currentThread().getContextClassLoader() instanceof URLClassLoader loader)) {
            return System.getProperty("java.class.path");
        }
        List<String> entries = new ArrayList<>();
        for (URL url : loader.getURLs()) {
            try {
                entries.add(Path.of(url.toURI()).toString());
            } catch (URISyntaxException e) {
                throw new IllegalStateException("The class path has an entry that is no file: " + url, e);
            }
        }
        return String.join(File.pathSeparator, entries);
    }
}
