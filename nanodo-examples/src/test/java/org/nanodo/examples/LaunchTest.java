package org.nanodo.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Tag("slow")
@Timeout(value = 2, unit = TimeUnit.MINUTES)
class LaunchTest {
    private int status;

    static final class Hello {
        public static void main(String[] args) {
            for (String name : List.of("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")) {
                System.out.println(name + "=" + System.getenv(name));
            }
            System.out.println("threads " + System.getProperty("nanodo.threads"));
            System.out.println("of " + Runtime.getRuntime().maxMemory());
            System.err.println(String.join(" ", args) + " \u00e9");
        }
    }

    static final class Fail {
        public static void main(String[] args) throws Exception {
            if (System.getenv("RANK").equals("1")) {
                System.exit(7);
            }
            Thread.sleep(1_000_000);
        }
    }

    static final class Wait {
        public static void main(String[] args) throws Exception {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("bye")));
            System.out.println("ready");
            Thread.sleep(1_000_000);
        }
    }

    @Test
    void everyRankGetsItsVariablesAndSpeaksWithItsNumber() {
        String output = run("-n", "3", "--port", "29511", "-J-Xmx32m", Hello.class.getName(), "-x", "--help", "a b");
        assertThat(status).isZero();
        assertThat(output.lines())
                .contains(
                        "[0] RANK=0",
                        "[1] RANK=1",
                        "[2] RANK=2",
                        "[2] LOCAL_RANK=2",
                        "[1] WORLD_SIZE=3",
                        "[1] MASTER_ADDR=127.0.0.1",
                        "[2] MASTER_PORT=29511",
                        "[0] threads " + Math.max(1, Runtime.getRuntime().availableProcessors() / 3),
                        "[2] of " + (32 << 20))
                .anyMatch(line -> line.startsWith("[1] -x --help a b "))
                .hasSize(24);
    }

    @Test
    void aRankThatFailsEndsAllWithItsExitCode() {
        assertThat(run("-n", "3", Fail.class.getName())).contains("Rank 1 ended with exit code 7");
        assertThat(status).isEqualTo(7);
    }

    @Test
    void aSignalReachesEveryRank() throws Exception {
        Process launch = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        Launch.class.getName(),
                        "-n",
                        "2",
                        Wait.class.getName())
                .redirectErrorStream(true)
                .start();
        var output = new BufferedReader(new InputStreamReader(launch.getInputStream()));
        assertThat(List.of(output.readLine(), output.readLine())).containsExactlyInAnyOrder("[0] ready", "[1] ready");
        launch.toHandle().destroy(); // SIGTERM; the process's own destroy() closes its output too
        List<String> rest = new ArrayList<>();
        for (String line = output.readLine(); line != null; line = output.readLine()) {
            rest.add(line);
        }
        assertThat(rest).contains("[0] bye", "[1] bye");
        assertThat(launch.waitFor()).isEqualTo(128 + 15);
    }

    @Test
    void mistakesAreToldInALine() {
        assertThat(run("-n", "2", "TrainJav"))
                .contains("no class TrainJav on the class path")
                .doesNotContain("\tat ");
        assertThat(run("-n", "0", Hello.class.getName())).contains("-n 0: a machine runs 1 to 1024 ranks");
        assertThat(run(Hello.class.getName())).contains("-n");
        assertThat(status).isNotZero();
    }

    private String run(String... args) {
        var console = Console.of(Launch::command, args);
        status = console.status();
        return console.output();
    }
}
