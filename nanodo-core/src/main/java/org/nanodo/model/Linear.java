package org.nanodo.model;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Operator;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** A layer without a bias. */
public final class Linear {
    /** Whether the CPU has instructions for bfloat16, as oneDNN, which multiplies there, sees it. */
    private static final boolean BFLOAT16_ON_CPU = bfloat16OnCpu();

    private Linear() {}

    /**
     * x W for x of any number of rows. On the CPU a single row, as in decoding, takes the matrix-vector kernel: it reads W
     * twice as fast as the product of matrices does, and reading W is then all the cost. Where the processor has no
     * instructions for bfloat16, float32's multiply the same numbers, and the result is rounded: LibTorch's own loop takes
     * some hundred times as long.
     */
    public static Tensor of(Tensor x_BxLxM, Tensor w_MxN) {
        if (!BFLOAT16_ON_CPU && !x_BxLxM.is_cuda() && Tensors.type(x_BxLxM) == ScalarType.BFloat16) {
            return of(x_BxLxM.to(ScalarType.Float), w_MxN.to(ScalarType.Float)).to(ScalarType.BFloat16);
        }
        boolean oneRow = x_BxLxM.numel() == w_MxN.size(0);
        if (oneRow && !x_BxLxM.is_cuda() && Tensors.type(x_BxLxM) == ScalarType.Float) {
            long[] shape = x_BxLxM.shape();
            shape[shape.length - 1] = w_MxN.size(1);
            return w_MxN.t().mv(x_BxLxM.reshape(-1)).view(shape);
        }
        return x_BxLxM.matmul(w_MxN);
    }

    private static boolean bfloat16OnCpu() {
        try (var scope = Scope.open()) {
            return Operator.find("mkldnn::_is_mkldnn_bf16_supported", "")
                    .call()
                    .get(0)
                    .toBool();
        } catch (RuntimeException e) { // LibTorch without oneDNN
            return false;
        }
    }
}
