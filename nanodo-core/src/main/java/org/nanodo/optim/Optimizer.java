package org.nanodo.optim;

import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.checkpoint.Slice;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;

/** A rule that updates parameters by their gradients. */
@FunctionalInterface
public interface Optimizer {
    /**
     * Creates the state for these parameters. Updates read the gradients from the parameters' tensors.
     *
     * @param parameters the model's parameters, the same on every rank and in the same order. A rank may hold only a {@link Slice}
     *     of each, one-dimensional and possibly empty; the slices of all ranks together are the parameter
     * @param ranks the ranks that the parameters are divided between. All of them start and update together, so that a rule can
     *     sum over whole parameters; an element-wise rule can ignore the ranks
     */
    State start(List<Parameter> parameters, Collectives ranks);

    /** Creates the state for parameters that this process holds whole. */
    default State start(List<Parameter> parameters) {
        return start(parameters, Collectives.single());
    }

    /** The state of a rule, such as its moments. */
    interface State extends AutoCloseable {
        /**
         * Updates the parameters in place, without waiting for the device. May overwrite the gradients.
         *
         * @param step number of this update, from 1
         * @param gradScale a float32 on the device that the gradients must be divided by
         * @param skip a float32 on the device; if it is 1, neither parameters nor state may change
         */
        void update(long step, double learningRate, Tensor gradScale, Tensor skip);

        /**
         * Returns by name all tensors that a checkpoint must hold for a run to resume. Tensors divided like their parameter can be
         * read back on another number of ranks; whole tensors must be the same on all ranks.
         */
        Map<String, Slice> tensors();

        @Override
        void close();
    }
}
