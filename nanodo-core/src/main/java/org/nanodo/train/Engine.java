package org.nanodo.train;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.data.Batch;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;

/**
 * Computes a model's loss and gradients. It walks the blocks itself, forward and backward, so that it decides what is
 * kept, recomputed or freed between them, while the model knows nothing of it.
 */
public interface Engine {
    /** Makes the engine of a model. */
    @FunctionalInterface
    interface Factory {
        Engine of(LanguageModel model);
    }

    /** The ranks that share each batch; all but this one's methods are called by all of them together. */
    default Collectives ranks() {
        return Collectives.single();
    }

    /** Announces a step of so many batches, whose gradients add up. */
    default void begin(int batches) {}

    /**
     * Adds the gradients of the batch's summed loss to those that are there.
     *
     * @return the loss summed over this rank's tokens, one float32 on the device
     */
    Tensor lossAndGradients(Batch batch, Loss loss, StepClock clock);

    /** Cross-entropy in nats at every position, in the order of the batch. Waits for the device. */
    float[] tokenLosses(Batch batch);

    /**
     * What this rank's optimizer updates and its checkpoint holds: every parameter of the model, in the same order on all ranks.
     * A rank that has none of a parameter's elements has an empty slice of it.
     */
    List<Parameter> parameters();

    /** L2 norm of all gradients of all ranks together, one float32 on the device. */
    Tensor globalNorm();

    void clearGradients();
}
