package org.nanodo.runtime;

import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorBase;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.VoidTensorHook;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * LibTorch's fused attention. On the CPU it calls OpenBLAS from inside an OpenMP loop, where a threaded OpenBLAS makes it
 * 50 times slower, while the linear layers around it want all threads. So OpenBLAS runs with one thread during attention,
 * forward and backward, and with all of them elsewhere. The count is global to the process: models that train at the
 * same time in one JVM may take turns with the wrong one, which costs time but not correctness.
 */
public final class Attention {
    private static final Hook before;
    private static final Hook after;

    static {
        Natives.start();
        before = Scope.keep(new Hook(1));
        after = Scope.keep(new Hook(Natives.threads()));
    }

    private Attention() {}

    /** Softmax(q kᵀ / √Dh) v over the positions up to each query's own. All tensors are BxHxLxDh. */
    public static Tensor causal(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh) {
        if (q_BxHxLxDh.is_cuda()) {
            return fused(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh);
        }
        if (Tensors.type(q_BxHxLxDh) == ScalarType.BFloat16) {
            // On the CPU bfloat16 attention takes 25 times as long as float32's.
            Tensor out_BxHxLxDh = causal(
                    q_BxHxLxDh.to(ScalarType.Float), k_BxHxLxDh.to(ScalarType.Float), v_BxHxLxDh.to(ScalarType.Float));
            return out_BxHxLxDh.to(ScalarType.BFloat16);
        }
        openblas_full.openblas_set_num_threads(1);
        try {
            Tensor out_BxHxLxDh = fused(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh);
            if (out_BxHxLxDh.requires_grad()) {
                out_BxHxLxDh.register_hook(before);
                // Whichever of the three continues first, all threads are back.
                q_BxHxLxDh.register_hook(after);
                k_BxHxLxDh.register_hook(after);
                v_BxHxLxDh.register_hook(after);
            }
            return out_BxHxLxDh;
        } finally {
            openblas_full.openblas_set_num_threads(Natives.threads());
        }
    }

    private static Tensor fused(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh) {
        return torch.scaled_dot_product_attention(
                q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, new TensorOptional(), 0.0, true, new DoubleOptional(), false);
    }

    /** Runs in the backward pass, when a gradient is ready and before its operator goes on. */
    private static final class Hook extends VoidTensorHook {
        private final int threads;

        Hook(int threads) {
            this.threads = threads;
        }

        @Override
        public void call(TensorBase gradient) {
            openblas_full.openblas_set_num_threads(threads);
        }
    }
}
