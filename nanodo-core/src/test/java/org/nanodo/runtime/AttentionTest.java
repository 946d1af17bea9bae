package org.nanodo.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

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
        Tensor error = Attention.causal(q, k, v).sub(expected).abs().max();
        assertThat(error.item_double()).isLessThan(1e-5);
    }

    @Test
    void allThreadsAreBackAfterForwardAndBackward() {
        int before = openblas_full.openblas_get_num_threads();
        Tensor q = Tensors.leaf(random(1));
        Tensor out = Attention.causal(q, q, q);
        assertThat(openblas_full.openblas_get_num_threads()).isEqualTo(before);
        out.sum().backward();
        assertThat(openblas_full.openblas_get_num_threads()).isEqualTo(before);
    }

    @Test
    void bfloat16StaysBfloat16() {
        Tensor q = random(1).to(ScalarType.BFloat16);
        assertThat(Tensors.type(Attention.causal(q, q, q))).isEqualTo(ScalarType.BFloat16);
    }

    private static Tensor random(long seed) {
        Natives.start();
        torch.manual_seed(seed);
        return torch.randn(BxHxLxDh);
    }
}
