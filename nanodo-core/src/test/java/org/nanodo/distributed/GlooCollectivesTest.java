package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;

/** Ranks are processes that meet as torchrun's do. */
@Tag("slow")
class GlooCollectivesTest {
    static final class Parity {
        public static void main(String[] args) {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(60));
                    var ranks = meeting.collectives(Device.cpu())) {
                CollectivesParity.check(
                        ranks, ScalarType.Float, ScalarType.BFloat16, ScalarType.Long, ScalarType.Double);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void everyCollectiveTypeAndLengthGivesWhatItShould(int world) throws Exception {
        assertThat(RankProcesses.run(world, Parity.class))
                .allSatisfy(output -> assertThat(output).contains("all equal"));
    }

    /** One rank does not take part, or dies; prints what the others are told, and after how long. */
    static final class Fault {
        public static void main(String[] args) throws Exception {
            try (var meeting = Rendezvous.join(Duration.ofSeconds(3));
                    var ranks = meeting.collectives(Device.cpu())) {
                ranks.barrier();
                if (ranks.rank() == Integer.parseInt(args[0])) {
                    if (args[1].equals("dies")) {
                        Runtime.getRuntime().halt(9);
                    }
                    Thread.sleep(6_000);
                    return;
                }
                ranks.allReduce(Tensors.zeros(Device.cpu(), 3)).await();
            } catch (CollectiveException e) {
                System.out.println(e.getMessage());
                System.exit(1);
            }
        }
    }

    @Test
    void aRankThatDiesIsNamed() throws Exception {
        assertThat(others(3, 1, "dies")).allSatisfy(output -> assertThat(output)
                .contains("allReduce, collective 2 of rank ")
                .contains("of 3 ranks, failed: rank 1 is gone"));
    }

    @Test
    void aRankThatTakesTheStoreWithItIsNamed() throws Exception {
        assertThat(others(3, 0, "dies"))
                .allSatisfy(output ->
                        assertThat(output).contains("allReduce, collective 2").contains("rank 0"));
    }

    @Test
    void aRankThatDoesNotTakePartIsNamed() throws Exception {
        assertThat(others(2, 1, "sleeps")).allSatisfy(output -> assertThat(output)
                .contains("allReduce, collective 2 of rank 0 of 2 ranks, failed: rank 1 has not begun it"));
    }

    private static List<String> others(int world, int victim, String fault) throws Exception {
        return RankProcesses.others(victim, RankProcesses.environments(world), Fault.class, fault);
    }
}
