package org.nanodo.train;

import java.util.SplittableRandom;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Tensors;

/**
 * Dropout (Srivastava et al. 2014) without a generator: each element's number is a hash of the seed, its row in the whole batch,
 * the call and its index in the row. So it is the same on all devices, and however a batch is divided.
 */
final class Dropout {
    private final long seed;
    private final long firstRow;
    private final int B;
    private int calls;

    Dropout(long seed, long firstRow, int B) {
        this.seed = seed;
        this.firstRow = firstRow;
        this.B = B;
    }

    int calls() {
        return calls;
    }

    void calls(int calls) {
        this.calls = calls;
    }

    /** Returns x with elements set to zero with probability {@code rate} and the others divided by 1 - rate. */
    Tensor of(Tensor x_BxX, double rate) {
        if (!(rate >= 0 && rate < 1)) {
            throw new IllegalArgumentException("The rate of dropout is " + rate + "; it must be >= 0 and < 1");
        }
        if (rate == 0) {
            return x_BxX;
        }
        if (x_BxX.size(0) != B) {
            throw new IllegalArgumentException("Dropout needs a tensor of " + B
                    + " rows, one for each row of the batch, not " + x_BxX.size(0) + "; in the head there are no rows");
        }
        Device device = x_BxX.is_cuda() ? Device.cuda(x_BxX.device().index()) : Device.cpu();
        Tensor keep_BxX;
        try (var off = Grad.off()) {
            keep_BxX = keep(x_BxX.numel() / B, rate, device).view(x_BxX.shape());
        }
        return x_BxX.mul(keep_BxX).mul(new Scalar(1 / (1 - rate)));
    }

    /** Two rounds of a multiplicative hash in int32, whose products wrap around; the row's second key enters between them. */
    private Tensor keep(long n, double rate, Device device) {
        int[] keys_Bx2 = new int[2 * B];
        int call = calls++;
        for (int b = 0; b < B; b++) {
            long key = new SplittableRandom(new SplittableRandom(seed + firstRow + b).nextLong() + call).nextLong();
            keys_Bx2[2 * b] = (int) key;
            keys_Bx2[2 * b + 1] = (int) (key >>> 32);
        }
        Tensor keys_Bx2Tensor = Tensors.ids(device, keys_Bx2, B, 2).to(ScalarType.Int);
        Tensor h_BxN = Tensors.range(device, n).to(ScalarType.Int).add(keys_Bx2Tensor.narrow(1, 0, 1));
        mix(h_BxN, 16, 0x7feb352d);
        h_BxN.bitwise_xor_(keys_Bx2Tensor.narrow(1, 1, 1));
        mix(h_BxN, 15, 0x846ca68b);
        long threshold = Math.round(rate * (1L << 32)) + Integer.MIN_VALUE;
        return h_BxN.ge(new Scalar(threshold));
    }

    private static void mix(Tensor h_BxN, int shift, int odd) {
        Tensor shifted = torch.__rshift__(h_BxN, new Scalar(shift));
        shifted.bitwise_and_(new Scalar((1 << (32 - shift)) - 1)); // the shift copies the sign
        h_BxN.bitwise_xor_(shifted);
        h_BxN.mul_(new Scalar(odd));
    }
}
