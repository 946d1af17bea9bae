package org.nanodo.runtime;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.nanodo.model.Attention;

class SingleThreadedBlasTest {
    @Test
    void allThreadsAreBackAfterAGradientWithRespectToTheOutput() {
        try (var scope = Scope.open()) {
            Tensor q_1x1x4x8 = Tensors.leaf(Tensors.zeros(Device.cpu(), 1, 1, 4, 8));
            Tensor out_1x1x4x8 = Attention.CAUSAL.of(q_1x1x4x8, q_1x1x4x8, q_1x1x4x8);
            out_1x1x4x8
                    .sum()
                    .backward(
                            new Tensor(),
                            new BoolOptional(true),
                            false,
                            new TensorArrayRefOptional(new TensorVector(out_1x1x4x8)));
            assertThat(openblas_full.openblas_get_num_threads()).isEqualTo(Natives.threads());
            out_1x1x4x8.sum().backward();
            assertThat(openblas_full.openblas_get_num_threads()).isEqualTo(Natives.threads());
            assertThat(q_1x1x4x8.grad().defined()).isTrue();
        }
    }

    @Test
    void anInputMayHaveNoGradient() {
        try (var scope = Scope.open()) {
            Tensor fixed_1x1x4x8 = Tensors.zeros(Device.cpu(), 1, 1, 4, 8);
            Tensor v_1x1x4x8 = Tensors.leaf(torch.ones(1, 1, 4, 8));
            Attention.CAUSAL.of(fixed_1x1x4x8, fixed_1x1x4x8, v_1x1x4x8).sum().backward();
            assertThat(v_1x1x4x8.grad().sum().item_float()).isCloseTo(32, within(1e-4f));
            assertThat(openblas_full.openblas_get_num_threads()).isEqualTo(Natives.threads());
        }
    }
}
