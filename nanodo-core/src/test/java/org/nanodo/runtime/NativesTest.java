package org.nanodo.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.Arrays;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.nanodo.TestJvm;

@Tag("slow")
class NativesTest {
    /** Prints what an embedding program would see in a fresh JVM. */
    static final class Main {
        public static void main(String[] args) {
            System.out.println(Natives.describe());
        }
    }

    @Test
    void describesVersionsDevicesThreadsAndSettings() throws Exception {
        assertThat(inFreshJvm())
                .contains("LibTorch 2.10.0")
                .contains("CUDA devices: 0")
                .contains("OpenBLAS")
                .containsPattern("LibTorch .*, " + processors() + " threads")
                .containsPattern("OpenBLAS .*, " + processors() + " threads")
                .contains("tuning: polling, openmp, malloc, threads");
    }

    @Test
    void settingsCanBeSwitchedOff() throws Exception {
        assertThat(inFreshJvm("-Dnanodo.tuning.off=openmp,malloc", "-Dnanodo.threads=1"))
                .contains("tuning: polling, threads")
                .containsPattern("LibTorch .*, 1 threads")
                .containsPattern("OpenBLAS .*, 1 threads");
    }

    @Test
    void anUnknownSettingIsNamed() throws Exception {
        assertThat(inFreshJvm("-Dnanodo.tuning.off=speed"))
                .contains("unknown setting \"speed\"")
                .contains("openmp");
    }

    @Test
    void aNumberOfThreadsThatIsNoneIsNamed() throws Exception {
        assertThat(inFreshJvm("-Dnanodo.threads=-3")).contains("\"-3\", not 1 or more");
    }

    @Test
    void missingNativesAreExplained() throws Exception {
        assertThat(inFreshJvm("-Dorg.bytedeco.javacpp.platform=linux-riscv64"))
                .contains("The LibTorch natives for linux-riscv64 are not on the class path")
                .contains("org.bytedeco:pytorch")
                .doesNotContain("ExceptionInInitializerError");
    }

    private static int processors() {
        return Runtime.getRuntime().availableProcessors();
    }

    private static String inFreshJvm(String... options) throws IOException, InterruptedException {
        String[] command = Arrays.copyOf(options, options.length + 1);
        command[options.length] = Main.class.getName();
        return TestJvm.run(command);
    }
}
