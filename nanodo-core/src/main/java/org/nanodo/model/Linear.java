package org.nanodo.model;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Operator;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** A linear layer without a bias. */
public final class Linear {
    /** Whether the CPU has instructions for bfloat16 according to oneDNN, which multiplies on the CPU. */
    private static final boolean BFLOAT16_ON_CPU = bfloat16OnCpu();

    private Linear() {}

    /**
     * Returns x W for any number of rows of x. On the CPU, a single row, as in decoding, uses the matrix-vector kernel: it reads W
     * twice as fast as the matrix product, and reading W is the whole cost. On CPUs without bfloat16 instructions, the same
     * numbers are multiplied in float32, and the result is rounded: LibTorch's own loop takes about a hundred times as long.
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
