package org.nanodo.model;

import static org.assertj.core.api.Assertions.assertThat;

import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorBase;
import org.bytedeco.pytorch.VoidTensorHook;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Tensors;

class AttentionTest {
    private static final long[] BxHxLxDh = {2, 3, 40, 8};

    @Test
    void equalsTheFormula() {
        Tensor q = random(1);
        Tensor k = random(2);
        Tensor v = random(3);
        Tensor mask_LxL = torch.ones(40, 40).tril().eq(new Scalar(0));
        Tensor att = torch.matmul(q, k.transpose(2, 3)).div(new Scalar(Math.sqrt(8)));
        att = torch.softmax(att.masked_fill(mask_LxL, new Scalar(Float.NEGATIVE_INFINITY)), -1);
        Tensor expected = torch.matmul(att, v);
        Tensor error = Attention.CAUSAL.of(q, k, v).sub(expected).abs().max();
        assertThat(error.item_double()).isLessThan(1e-5);
    }

    @Test
    void blasHasOneThreadInTheBackwardPassAndAllOfThemAfterwards() {
        int all = openblas_full.openblas_get_num_threads();
        int[] inBackward = {0, 0};
        Tensor x = Tensors.leaf(random(1));
        Tensor q = x.add(x);
        Tensor out = Attention.CAUSAL.of(q, q, q);
        assertThat(openblas_full.openblas_get_num_threads()).isEqualTo(all);
        out.register_hook(recording(inBackward, 0)); // after attention's own hook
        q.register_hook(recording(inBackward, 1));
        out.sum().backward();
        assertThat(inBackward).containsExactly(1, all);
        assertThat(openblas_full.openblas_get_num_threads()).isEqualTo(all);
    }

    private static VoidTensorHook recording(int[] threads, int index) {
        return new VoidTensorHook() {
            @Override
            public void call(TensorBase gradient) {
                threads[index] = openblas_full.openblas_get_num_threads();
            }
        };
    }

    @Test
    void bfloat16StaysBfloat16() {
        Tensor q = random(1).to(ScalarType.BFloat16);
        assertThat(Tensors.type(Attention.CAUSAL.of(q, q, q))).isEqualTo(ScalarType.BFloat16);
    }

    private static Tensor random(long seed) {
        Natives.start();
        torch.manual_seed(seed);
        return torch.randn(BxHxLxDh);
    }
}
