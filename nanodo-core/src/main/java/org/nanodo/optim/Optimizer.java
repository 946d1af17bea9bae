package org.nanodo.optim;

import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.checkpoint.Slice;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;

/** A rule that turns gradients into updates. */
@FunctionalInterface
public interface Optimizer {
    /**
     * Starts with state for these parameters, whose gradients it will find in their tensors.
     *
     * @param parameters of the model, the same on every rank and in the same order. A rank may have only a {@link Slice} of
     *     each, in one dimension, and that may be empty; the slices of all ranks together are the parameter
     * @param ranks between which the parameters are divided. All of them start and update together, so that a rule that needs
     *     sums over whole parameters can form them; a rule that goes by element can ignore the ranks
     */
    State start(List<Parameter> parameters, Collectives ranks);

    /** Starts where this process has all of every parameter. */
    default State start(List<Parameter> parameters) {
        return start(parameters, Collectives.single());
    }

    /** The rule's memory. */
    interface State extends AutoCloseable {
        /**
         * Updates the parameters in place, without waiting for the device. It may overwrite the gradients.
         *
         * @param step counts from 1
         * @param gradScale a float32 on the device: the gradients have to be divided by it
         * @param skip a float32 on the device: if it is 1, nothing may change
         */
        void update(long step, double learningRate, Tensor gradScale, Tensor skip);

        /**
         * Everything that a checkpoint has to hold for a run to resume, by name. What is a {@link Slice} like its parameter's
         * can be read back on another number of ranks; what is whole has to be the same on all ranks.
         */
        Map<String, Slice> tensors();

        @Override
        void close();
    }
}
