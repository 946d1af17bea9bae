package org.nanodo.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorBase;
import org.bytedeco.pytorch.VoidTensorHook;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.nanodo.runtime.Device;
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
    void withinDocumentsEqualsTheFormula() {
        Tensor q = random(1);
        Tensor k = random(2);
        Tensor v = random(3);
        int[] documents = new int[2 * 40];
        Arrays.setAll(documents, i -> i < 40 ? i / 9 : i / 40 + i / 77);
        Tensor out =
                Attention.within(Tensors.ids(Device.cpu(), documents, 2, 40)).of(q, k, v);
        float[] expected = Tensors.toFloats(q).clone();
        float[][] qkv = {Tensors.toFloats(q), Tensors.toFloats(k), Tensors.toFloats(v)};
        for (int row = 0; row < 2 * 3; row++) {
            for (int i = 0; i < 40; i++) {
                double[] sums = new double[8];
                double all = 0;
                for (int j = 0; j <= i; j++) {
                    if (documents[row / 3 * 40 + i] == documents[row / 3 * 40 + j]) {
                        double score = 0;
                        for (int d = 0; d < 8; d++) {
                            score += qkv[0][(row * 40 + i) * 8 + d] * qkv[1][(row * 40 + j) * 8 + d];
                        }
                        double weight = Math.exp(score / Math.sqrt(8));
                        all += weight;
                        for (int d = 0; d < 8; d++) {
                            sums[d] += weight * qkv[2][(row * 40 + j) * 8 + d];
                        }
                    }
                }
                for (int d = 0; d < 8; d++) {
                    expected[(row * 40 + i) * 8 + d] = (float) (sums[d] / all);
                }
            }
        }
        assertThat(Tensors.toFloats(out)).containsExactly(expected, within(1e-5f));
    }

    @Test
    void blasHasOneThreadInTheBackwardPassAndAllOfThemAfterwards() {
        int all = openblas_full.openblas_get_num_threads();
        int[] inBackward = {0, 0};
        Tensor x = Tensors.leaf(random(1));
        Tensor q = x.add(x);
        Tensor out = Attention.CAUSAL.of(q, q, q);
        assertThat(openblas_full.openblas_get_num_threads()).isEqualTo(all);
        out._base().register_hook(recording(inBackward, 0)); // of the operator's output, after its own hook
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
