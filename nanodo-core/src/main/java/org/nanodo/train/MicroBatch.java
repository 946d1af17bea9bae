package org.nanodo.train;

import org.nanodo.data.Batch;

/**
 * The rows whose gradients an engine computes at once, and what it needs to know of their step.
 *
 * @param firstRow index of the first row among the rows of all ranks and micro-batches
 * @param seed seed of this step's dropout
 * @param measurements receives the step's named sums
 */
public record MicroBatch(Batch batch, long firstRow, long seed, Loss loss, Measurements measurements, StepClock clock) {
    /** Returns a batch that is a step of its own, with the cross-entropy as its loss. */
    public static MicroBatch of(Batch batch) {
        return of(batch, Loss.crossEntropy());
    }

    public static MicroBatch of(Batch batch, Loss loss) {
        return new MicroBatch(batch, 0, 0, loss, new Measurements(), new StepClock());
    }
}
