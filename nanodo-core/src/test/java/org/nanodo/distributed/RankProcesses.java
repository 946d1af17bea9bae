package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.nanodo.TestJvm;

/** The ranks of a run as processes of this machine, started as torchrun does. */
final class RankProcesses {
    /** How one ended, and what it printed. */
    record Ended(int exitCode, String output) {}

    private RankProcesses() {}

    static int freePort() throws IOException {
        try (var socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    static Map<String, String> environment(int rank, int world, int port) {
        return new HashMap<>(Map.of(
                "RANK", String.valueOf(rank),
                "WORLD_SIZE", String.valueOf(world),
                "MASTER_ADDR", "127.0.0.1",
                "MASTER_PORT", String.valueOf(port)));
    }

    /** Those of all ranks. */
    static List<Map<String, String>> environments(int world) throws IOException {
        int port = freePort();
        List<Map<String, String>> environments = new ArrayList<>();
        for (int rank = 0; rank < world; rank++) {
            environments.add(environment(rank, world, port));
        }
        return environments;
    }

    /** Runs all ranks to their good end and returns what they printed. */
    static List<String> run(int world, Class<?> main, String... arguments) throws Exception {
        List<Ended> ended = runAll(environments(world), main, arguments);
        assertThat(ended).allSatisfy(rank -> assertThat(rank.exitCode).isZero());
        return ended.stream().map(Ended::output).toList();
    }

    /** What the others print, who fail, when one rank does: its number is the first argument. */
    static List<String> others(int victim, List<Map<String, String>> environments, Class<?> main, String... arguments)
            throws Exception {
        var all = new ArrayList<>(List.of(String.valueOf(victim)));
        all.addAll(List.of(arguments));
        var ended = new ArrayList<>(runAll(environments, main, all.toArray(String[]::new)));
        ended.remove(victim);
        assertThat(ended)
                .allSatisfy(rank -> assertThat(rank.exitCode).as(rank.output).isEqualTo(1));
        return ended.stream().map(Ended::output).toList();
    }

    /** Runs one process an environment, each to whatever end. */
    static List<Ended> runAll(List<Map<String, String>> environments, Class<?> main, String... arguments)
            throws Exception {
        var command = new ArrayList<>(List.of("-Dnanodo.threads=1", "-XX:TieredStopAtLevel=1", main.getName()));
        command.addAll(List.of(arguments));
        List<Process> processes = new ArrayList<>();
        try {
            List<CompletableFuture<String>> outputs = new ArrayList<>();
            for (Map<String, String> environment : environments) {
                Process process = TestJvm.start(environment, command.toArray(String[]::new));
                processes.add(process);
                outputs.add(CompletableFuture.supplyAsync(() -> readAll(process)));
            }
            List<Ended> ended = new ArrayList<>();
            for (int i = 0; i < processes.size(); i++) {
                String output = outputs.get(i).get(120, TimeUnit.SECONDS);
                ended.add(new Ended(processes.get(i).waitFor(), output));
            }
            return ended;
        } finally {
            processes.forEach(Process::destroyForcibly);
        }
    }

    private static String readAll(Process process) {
        try {
            return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            return e.toString();
        }
    }
}
