package org.nanodo.train;

import java.util.List;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.data.Batch;
import org.nanodo.model.BlockModel;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;

/**
 * Computes a model's loss and gradients. The engine runs the model's blocks forward and backward itself, so that it decides what
 * is kept, recomputed or freed in between; the model need not know.
 */
public interface Engine {
    /** Returns the engine for a model on one device: a {@link BlockWalk}, or {@link #whole} for a model without blocks. */
    static Engine of(LanguageModel model) {
        return of(model, Residency.ALWAYS);
    }

    /** Returns the same for a model whose parameters come and go: the engine tells the residency which ones it needs. */
    static Engine of(LanguageModel model, Residency residency) {
        return model instanceof BlockModel blocks ? new BlockWalk(blocks, residency) : new WholeGraph(model, residency);
    }

    /**
     * Returns an engine for any model that records one autograd graph of a whole micro-batch, with all its logits. It needs more
     * memory than a walk over blocks and recomputes nothing.
     */
    static Function<LanguageModel, Engine> whole() {
        return model -> new WholeGraph(model, Residency.ALWAYS);
    }

    /** Returns the ranks that share each batch. All of them call every other method together. */
    default Collectives ranks() {
        return Collectives.single();
    }

    /** Announces a step of this number of micro-batches, whose gradients add up. */
    default void begin(int microBatches) {}

    /**
     * Adds the gradients of the summed loss, auxiliary losses included, to the gradients of the trainable parameters.
     *
     * @return the loss summed over this rank's tokens, one float32 on the device
     */
    Tensor lossAndGradients(MicroBatch micro);

    /** Returns the cross-entropy in nats at every position, in the order of the batch. Waits for the device. */
    float[] tokenLosses(Batch batch);

    /**
     * Returns the parameters that this rank's checkpoint holds: this rank's slice, which may be empty, of every parameter of the
     * model, in the same order on all ranks. The optimizer updates those that are trainable.
     */
    List<Parameter> parameters();

    /** Returns the L2 norm of all gradients of all ranks together, one float32 on the device. */
    Tensor globalNorm();

    void clearGradients();
}
