package org.nanodo.distributed;

import com.sun.jna.NativeLibrary;
import com.sun.jna.Platform;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.TCPStore;
import org.bytedeco.pytorch.TCPStoreOptions;
import org.junit.jupiter.api.Assumptions;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Natives;

/**
 * Libraries under the names of NCCL, the CUDA runtime and the driver, compiled once a test run from
 * {@code src/test/c/nccl_stand_in.c}: a JVM started in their {@link #environment} runs {@link NcclCollectives} on host
 * tensors, with {@code Device.cpu()}.
 */
final class NcclStandIn {
    private static final Path SOURCE = Path.of("src", "test", "c", "nccl_stand_in.c");
    private static final Path LIBRARIES = Path.of("target", "nccl-stand-in").toAbsolutePath();
    private static final String RUNTIME = "libcudart.so.13"; // the code; the other two only lead to it
    private static boolean compiled;

    private NcclStandIn() {}

    /** Skips the test where there is no gcc. */
    static void assumePossible() throws IOException, InterruptedException {
        String reason = null;
        if (!Platform.isLinux() || !Platform.isIntel() || !Platform.is64Bit()) {
            reason = "the NCCL bindings' natives of the tests are for Linux on x86-64";
        } else {
            try {
                run("gcc", "--version");
            } catch (IOException e) {
                reason = "there is no gcc";
            }
        }
        if (reason != null) {
            System.out.println("Skipped the test of NCCL: " + reason);
            Assumptions.abort(reason);
        }
    }

    /** For a child process: where it finds the libraries. */
    static synchronized Map<String, String> environment() throws IOException, InterruptedException {
        if (!compiled) {
            Files.createDirectories(LIBRARIES);
            Path version = Files.writeString(LIBRARIES.resolve("version"), RUNTIME + " { global: *; };\n");
            gcc(RUNTIME, SOURCE.toString(), "-Wl,--version-script=" + version);
            gcc("libcuda.so.1", "-Wl,--no-as-needed", LIBRARIES.resolve(RUNTIME).toString());
            gcc("libnccl.so.2", "-Wl,--no-as-needed", LIBRARIES.resolve(RUNTIME).toString());
            compiled = true;
        }
        String before = System.getenv("LD_LIBRARY_PATH");
        return Map.of(
                "LD_LIBRARY_PATH",
                before == null ? LIBRARIES.toString() : LIBRARIES + ":" + before,
                "LD_PRELOAD", // JavaCPP prefers a real one in /usr/local/cuda
                LIBRARIES.resolve(RUNTIME).toString(),
                "NCCL_STAND_IN_DIR",
                LIBRARIES.toString());
    }

    /** In the child process: where the ranks of {@link RankProcesses#environment} meet. */
    static Store store() {
        Natives.start();
        return new TCPStore(
                System.getenv("MASTER_ADDR"),
                new TCPStoreOptions()
                        .port((short) Integer.parseInt(System.getenv("MASTER_PORT")))
                        .isServer(System.getenv("RANK").equals("0"))
                        .timeout(Natives.milliseconds(Duration.ofSeconds(30))));
    }

    /** In the child process: of the ranks of {@link RankProcesses#environment}, on host tensors. */
    static NcclCollectives collectives(Store store, Duration timeout) {
        int rank = Integer.parseInt(System.getenv("RANK"));
        int world = Integer.parseInt(System.getenv("WORLD_SIZE"));
        return NcclCollectives.of(store, rank, world, Device.cpu(), timeout);
    }

    /** In the child process: how many collectives it has called. */
    static int calls() {
        return NativeLibrary.getProcess().getFunction("nccl_stand_in_calls").invokeInt(new Object[0]);
    }

    /** In the child process: what goes wrong from here on, as {@code NCCL_STAND_IN_FAULT}. */
    static void fault(String fault) {
        NativeLibrary.getProcess().getFunction("setenv").invokeInt(new Object[] {"NCCL_STAND_IN_FAULT", fault, 1});
    }

    private static void gcc(String library, String... inputs) throws IOException, InterruptedException {
        var command = new ArrayList<>(List.of("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"));
        command.addAll(List.of("-shared", "-fPIC", "-pthread", "-Wl,-soname," + library));
        command.addAll(List.of("-o", LIBRARIES.resolve(library).toString()));
        command.addAll(Arrays.asList(inputs));
        run(command.toArray(String[]::new));
    }

    private static void run(String... command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        if (process.waitFor() != 0) {
            throw new IllegalStateException(String.join(" ", command) + "\n" + output);
        }
    }
}
