package org.nanodo.train;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.data.Batch;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;

/**
 * Computes a model's loss and gradients. The engine runs the model's blocks forward and backward itself, so that it decides what
 * is kept, recomputed or freed in between; the model need not know.
 */
public interface Engine {
    /** Returns the ranks that share each batch. All of them call every other method together. */
    default Collectives ranks() {
        return Collectives.single();
    }

    /** Announces a step of this number of micro-batches, whose gradients add up. */
    default void begin(int microBatches) {}

    /**
     * Adds the gradients of the batch's summed loss to the parameters' gradients.
     *
     * @return the loss summed over this rank's tokens, one float32 on the device
     */
    Tensor lossAndGradients(Batch batch, Loss loss, StepClock clock);

    /** Returns the cross-entropy in nats at every position, in the order of the batch. Waits for the device. */
    float[] tokenLosses(Batch batch);

    /**
     * Returns the parameters that this rank's optimizer updates and its checkpoint holds: this rank's slice, which may be empty,
     * of every parameter of the model, in the same order on all ranks.
     */
    List<Parameter> parameters();

    /** Returns the L2 norm of all gradients of all ranks together, one float32 on the device. */
    Tensor globalNorm();

    void clearGradients();
}
