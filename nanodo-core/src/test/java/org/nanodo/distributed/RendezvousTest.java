package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Device;

@Tag("slow")
class RendezvousTest {
    private static final Duration LIMIT = Duration.ofSeconds(2);

    @Test
    void torchrun() {
        var launched = LaunchEnvironment.by(Map.of(
                "RANK", "3",
                "WORLD_SIZE", "4",
                "LOCAL_RANK", "1",
                "MASTER_ADDR", "node7",
                "MASTER_PORT", "1234",
                "TORCHELASTIC_USE_AGENT_STORE", "True",
                "TORCHELASTIC_RUN_ID", "mine",
                "TORCHELASTIC_RESTART_COUNT", "2"));
        assertThat(launched).isEqualTo(new LaunchEnvironment(3, 4, 1, "node7", 1234, true, "mine", 2));
    }

    @Test
    void aPyTorchJobsPod() {
        var launched = LaunchEnvironment.by(
                Map.of("RANK", "1", "WORLD_SIZE", "2", "MASTER_ADDR", "job-master-0", "MASTER_PORT", "23456"));
        assertThat(launched).isEqualTo(new LaunchEnvironment(1, 2, 0, "job-master-0", 23456, false, "", 0));
    }

    @Test
    void slurm() {
        var variables = Map.of(
                "SLURM_PROCID", "5",
                "SLURM_NTASKS", "8",
                "SLURM_LOCALID", "1",
                "SLURM_JOB_ID", "4242",
                "SLURM_STEP_NODELIST", "gpu-[013-016,20],login");
        assertThat(LaunchEnvironment.by(variables))
                .isEqualTo(new LaunchEnvironment(5, 8, 1, "gpu-013", 24242, false, "4242", 0));
        assertThat(with(variables, "SLURM_STEP_NODELIST", "alpha,beta").address())
                .isEqualTo("alpha");
        assertThat(with(variables, "MASTER_ADDR", "10.0.0.1").address()).isEqualTo("10.0.0.1");
        assertThat(with(variables, "SLURM_STEP_NUM_TASKS", "6").world()).isEqualTo(6);
    }

    @Test
    void openMpiEvenInsideOfSlurm() {
        var variables = Map.of(
                "OMPI_COMM_WORLD_RANK", "1",
                "OMPI_COMM_WORLD_SIZE", "2",
                "OMPI_COMM_WORLD_LOCAL_RANK", "1",
                "OMPI_COMM_WORLD_LOCAL_SIZE", "2",
                "SLURM_PROCID", "0",
                "SLURM_NTASKS", "2");
        assertThat(LaunchEnvironment.by(variables))
                .isEqualTo(new LaunchEnvironment(1, 2, 1, "127.0.0.1", 29500, false, "", 0));
        assertThatThrownBy(() -> with(variables, "OMPI_COMM_WORLD_LOCAL_SIZE", "1"))
                .hasMessageContaining("MASTER_ADDR is not set");
    }

    @Test
    void withoutALauncherTheProcessIsAlone() {
        try (var meeting = Rendezvous.join(Map.of(), LIMIT);
                var ranks = meeting.collectives(meeting.device())) {
            assertThat(meeting.world()).isEqualTo(1);
            assertThat(ranks.world()).isEqualTo(1);
            ranks.barrier();
        }
    }

    @Test
    void variablesThatMakeNoSenseAreNamed() {
        assertThatThrownBy(() -> LaunchEnvironment.by(Map.of("RANK", "1")))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("RANK and WORLD_SIZE");
        var variables = RankProcesses.environment(1, 2, 29500);
        assertThatThrownBy(() -> with(variables, "RANK", "2"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("RANK is \"2\": it must be a number from 0 to 1");
        assertThatThrownBy(() -> with(variables, "WORLD_SIZE", "two")).hasMessageContaining("WORLD_SIZE is \"two\"");
        assertThatThrownBy(() -> with(variables, "MASTER_PORT", "70000"))
                .hasMessageContaining("MASTER_PORT is \"70000\"");
        assertThatThrownBy(() -> with(variables, "MASTER_ADDR", " ")).hasMessageContaining("MASTER_ADDR is not set");
    }

    @Test
    void aRankThatIsNeverStartedIsNamed() throws Exception {
        int port = RankProcesses.freePort();
        assertThat(meet(environment(0, 3, port), environment(1, 3, port))).allSatisfy(message -> assertThat(message)
                .contains("Not all 3 ranks arrived at 127.0.0.1:" + port + " within 2.0 s")
                .contains("misses rank 2"));
        assertThat(meet(environment(1, 2, port)))
                .singleElement()
                .asString()
                .contains("Rank 1 found no store at 127.0.0.1:" + port + " within 2.0 s: was rank 0 started there?");
    }

    @Test
    void ranksOfAnotherWorldSizeAreRefused() throws Exception {
        int port = RankProcesses.freePort();
        assertThat(meet(environment(0, 3, port), environment(1, 2, port))).allSatisfy(message -> assertThat(message)
                .contains("At 127.0.0.1:" + port)
                .contains("2 ranks")
                .contains("3 ranks")
                .contains("Is WORLD_SIZE the same everywhere"));
    }

    @Test
    void twoRunsOnOnePortAreToldApart() throws Exception {
        int port = RankProcesses.freePort();
        List<String> messages = meet(
                environment(0, 2, port), environment(0, 2, port), environment(1, 2, port), environment(1, 2, port));
        assertThat(messages).anySatisfy(message -> assertThat(message)
                .contains("Rank 0 cannot keep its store at 127.0.0.1:" + port)
                .contains("is another run using the port?"));
        assertThat(messages)
                .anySatisfy(message -> assertThat(message).contains("two processes were started as rank 1"));
    }

    private static LaunchEnvironment with(Map<String, String> variables, String name, String value) {
        var changed = new HashMap<>(variables);
        changed.put(name, value);
        return LaunchEnvironment.by(changed);
    }

    private static Map<String, String> environment(int rank, int world, int port) {
        return RankProcesses.environment(rank, world, port);
    }

    /** Threads in place of processes: the messages of those that fail. */
    @SafeVarargs
    private static List<String> meet(Map<String, String>... environments) throws Exception {
        var threads = Executors.newCachedThreadPool();
        try {
            List<Future<String>> outcomes = new ArrayList<>();
            for (var environment : environments) {
                outcomes.add(threads.submit(() -> {
                    try (var meeting = Rendezvous.join(environment, LIMIT);
                            var ranks = meeting.collectives(Device.cpu())) {
                        ranks.barrier();
                        return null;
                    } catch (CollectiveException e) {
                        return e.getMessage();
                    }
                }));
            }
            List<String> messages = new ArrayList<>();
            for (var outcome : outcomes) {
                String message = outcome.get(30, TimeUnit.SECONDS);
                if (message != null) {
                    messages.add(message);
                }
            }
            return messages;
        } finally {
            threads.shutdownNow();
        }
    }
}
