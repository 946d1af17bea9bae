package org.nanodo.runtime;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.jna.Platform;
import java.util.ArrayList;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.nanodo.TestJvm;

class NativeErrorsTest {
    private static final Device cpu = Device.cpu();

    /** Allocates until it cannot. */
    static final class Hoarder {
        public static void main(String[] args) {
            var hoard = new ArrayList<Tensor>();
            try {
                while (true) {
                    hoard.add(Tensors.empty(cpu, ScalarType.Float, 64, 1 << 20));
                }
            } catch (OutOfMemoryException e) {
                System.out.println(e.getMessage());
            }
            hoard.forEach(Tensor::close);
            System.out.println("after it " + Tensors.toFloats(Tensors.zeros(cpu, 1))[0]);
        }
    }

    @Test
    void anErrorOfAnOperatorIsOneSentence() {
        Tensor x = Tensors.zeros(cpu, 2, 3);
        var thrown = catchThrowableOfType(RuntimeException.class, () -> x.matmul(x));
        assertThat(thrown.getMessage()).contains("frame #"); // or there is nothing left to explain
        assertThat(NativeErrors.explain(thrown, "a product"))
                .hasMessage("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)")
                .hasNoCause()
                .satisfies(e -> assertThat(e.getStackTrace()).isEqualTo(thrown.getStackTrace()));
    }

    @Test
    void aClosedTensorIsSaidToBeClosed() {
        Tensor x = Tensors.zeros(cpu, 2);
        x.close();
        var thrown = catchThrowableOfType(RuntimeException.class, x::numel);
        assertThat(NativeErrors.explain(thrown, "a step"))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("A tensor that a step needs is closed");
    }

    @Test
    void anExceptionOfJavaStaysAsItIs() {
        var own = new IllegalArgumentException("B is 0");
        var bare = new RuntimeException("a user's own");
        var pointer = new NullPointerException();
        assertThat(NativeErrors.explain(own, "a step")).isSameAs(own);
        assertThat(NativeErrors.explain(bare, "a step")).isSameAs(bare);
        assertThat(NativeErrors.explain(pointer, "a step")).isSameAs(pointer);
    }

    @Test
    @Tag("slow")
    void theHostsMemoryThatRunsOutIsOneSentenceAndHarmsNothingElse() throws Exception {
        assumeTrue(Platform.isLinux(), "the limit on a process's memory is Linux's");
        assertThat(TestJvm.runWithLimit("ulimit -v 8000000", "-Xmx64m", Hoarder.class.getName()))
                .contains("The host has not enough memory for a tensor of shape [64, 1048576]: ")
                .contains("256.0 MiB more were asked for: take a smaller batch")
                .contains("after it 0.0")
                .doesNotContain("frame #");
    }

    @Test
    void aGpusMemoryThatRunsOutIsOneSentence() {
        var thrown = new RuntimeException(
                "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 1 has a total capacity of "
                        + "79.11 GiB of which 1.25 GiB is free. Including non-PyTorch memory, this process has 77.85 GiB memory in use.\n"
                        + "Exception raised from malloc at CUDACachingAllocator.cpp:1 (most recent call first):\nframe #0: f + 0x1");
        assertThat(NativeErrors.explain(thrown, "a step of training"))
                .isInstanceOf(OutOfMemoryException.class)
                .hasMessageContaining(
                        "GPU 1 has not enough memory for a step of training: it has 1.25 GiB of 79.11 GiB left, "
                                + "and 2.50 GiB more were asked for: take a smaller batch")
                .hasMessageNotContaining("frame #");
    }
}
