package org.nanodo.runtime;

import java.util.function.Supplier;
import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorBase;
import org.bytedeco.pytorch.VoidTensorHook;

/**
 * Runs an operator while OpenBLAS has one thread. LibTorch's fused attention calls OpenBLAS inside an OpenMP loop, where a
 * threaded OpenBLAS makes it 50 times slower, while the linear layers around it need all threads. The number of threads is
 * global to the process: models that train concurrently in one JVM may run with the wrong one, which costs time but not
 * correctness.
 */
public final class SingleThreadedBlas {
    private static final Hook before;
    private static final Hook after;

    static {
        Natives.start();
        before = Scope.keep(new Hook(1));
        after = Scope.keep(new Hook(Natives.threads()));
    }

    private SingleThreadedBlas() {}

    /** @param inputs the tensors to which the operator's backward pass, which also gets one thread, passes gradients */
    public static Tensor call(Supplier<Tensor> operator, Tensor... inputs) {
        openblas_full.openblas_set_num_threads(1);
        try {
            Tensor output = operator.get();
            if (!output.requires_grad()) {
                return output;
            }
            output.register_hook(before);
            for (Tensor input : inputs) {
                if (input.requires_grad()) {
                    input.register_hook(after); // the first of them restores all threads
                }
            }
            // A backward pass that ends at the output runs the hooks of the output, but not the operator, and so would
            // leave one thread behind. The view is what it ends at, since nobody else has the output itself.
            return output.view_as(output);
        } finally {
            openblas_full.openblas_set_num_threads(Natives.threads());
        }
    }

    /** Runs in the backward pass when a gradient is ready, before its operator continues. */
    private static final class Hook extends VoidTensorHook {
        private final int threads;

        Hook(int threads) {
            this.threads = threads;
        }

        @Override
        public void call(TensorBase gradient) {
            openblas_full.openblas_set_num_threads(threads);
            gradient.close(); // this handle would hold its memory until the scope ends
        }
    }
}
