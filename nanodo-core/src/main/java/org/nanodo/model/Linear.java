package org.nanodo.model;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Tensors;

/** A layer without a bias. */
public final class Linear {
    private Linear() {}

    /**
     * x W for x of any number of rows. On the CPU a single row, as in decoding, takes the matrix-vector kernel: it reads W
     * twice as fast as the product of matrices does, and reading W is then all the cost.
     */
    public static Tensor of(Tensor x_BxLxM, Tensor w_MxN) {
        boolean oneRow = x_BxLxM.numel() == w_MxN.size(0);
        if (oneRow && !x_BxLxM.is_cuda() && Tensors.type(x_BxLxM) == ScalarType.Float) {
            long[] shape = x_BxLxM.shape();
            shape[shape.length - 1] = w_MxN.size(1);
            return w_MxN.t().mv(x_BxLxM.reshape(-1)).view(shape);
        }
        return x_BxLxM.matmul(w_MxN);
    }
}
