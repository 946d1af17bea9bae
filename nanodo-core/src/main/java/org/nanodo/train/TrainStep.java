package org.nanodo.train;

import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.data.Batch;
import org.nanodo.model.LanguageModel;
import org.nanodo.optim.Optimizer;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.train.StepClock.Phase;

/**
 * One step of training: batch, loss and gradients, their sums over the ranks, norm and clipping, update. The step is only
 * started on the device; its numbers are read one step later, so that nothing waits for them.
 */
final class TrainStep implements AutoCloseable {
    /**
     * The numbers of a step, summed over all ranks, in the order in which they lie on the device.
     *
     * @param loss loss of all targets
     * @param crossEntropy cross-entropy of all targets
     * @param weight number of targets
     * @param stopping number of ranks that were told to stop
     * @param written number of ranks that have written their part of the last checkpoint
     * @param failed number of ranks that could not write it
     * @param norm norm of the gradient of the summed loss
     */
    record Sums(
            double loss, double crossEntropy, double weight, float stopping, float written, float failed, double norm) {
        private static final int LOSS = 0;
        private static final int WEIGHT = 2;

        private static Sums read(Tensor sums_7) {
            float[] s = Tensors.toFloats(sums_7);
            return new Sums(s[LOSS], s[1], s[WEIGHT], s[3], s[4], s[5], s[6]);
        }
    }

    /** A step that was started on the device. Its number counts from 1; internal is null if it has no internal metrics. */
    record Started(
            long step,
            double learningRate,
            Map<String, Double> seconds,
            Tensor sums_7,
            InternalMetrics.Measured internal)
            implements AutoCloseable {
        /** Waits for the device and returns the step's numbers. */
        Sums read() {
            return Sums.read(sums_7);
        }

        @Override
        public void close() {
            sums_7.close();
            if (internal != null) {
                internal.close();
            }
        }
    }

    private final TrainerBuilder options;
    private final LanguageModel model;
    private final Engine engine;
    private final Collectives ranks;
    private final Optimizer.State optimizer;
    private final InternalMetrics internals;
    private final StepClock clock;
    private final Tensor crossEntropy_1; // of this rank's targets in this step
    private final Tensor diverged; // 1 once a loss or gradient was not finite: nothing is updated any more

    TrainStep(TrainerBuilder options, Engine engine, Optimizer.State optimizer, StepClock clock) {
        this.options = options;
        this.model = options.model;
        this.engine = engine;
        this.ranks = engine.ranks();
        this.optimizer = optimizer;
        this.clock = clock;
        internals = new InternalMetrics(model, engine, options.internalSteps);
        crossEntropy_1 = Scope.keep(Tensors.zeros(model.device(), 1));
        diverged = Scope.keep(Tensors.zeros(model.device()));
    }

    /** Allows updates again, after the parameters were restored from a checkpoint. */
    void recover() {
        Tensors.fill(diverged, 0);
    }

    /**
     * Starts a step.
     *
     * @param step number of updates made so far
     * @param stopping whether this rank was told to stop
     * @param save progress of this rank's last save
     */
    Started start(Batch batch, long step, boolean stopping, Checkpoints.Progress save) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            checkIds(batch);
            float[] mine = {(float) batch.weight(), stopping ? 1 : 0, save.written() ? 1 : 0, save.failed() ? 1 : 0};
            Tensor mine_4 = Tensors.floats(model.device(), mine, 4); // before the device is busy: copies wait for it

            Tensor loss = lossAndGradients(batch, step);
            Tensor sums_6 = torch.cat(new TensorVector(loss.view(1), crossEntropy_1, mine_4), 0);
            ranks.allReduce(sums_6).await();

            Tensor norm = engine.globalNorm();
            Tensor isFinite = torch.isfinite(norm.add(sums_6.select(0, Sums.LOSS)));
            diverged.logical_or_(isFinite.logical_not());

            // The gradient is the summed loss's. Divided by the weight it is the mean's; divided by more it is clipped.
            Tensor weight = sums_6.select(0, Sums.WEIGHT);
            Tensor divisor = weight.add(weight.eq(new Scalar(0))); // a batch of padding has no gradient to scale
            Tensor gradScale = norm.div(new Scalar(options.clip)).maximum(divisor);

            double learningRate = learningRate(step);
            InternalMetrics.Measured internal = update(step + 1, learningRate, gradScale);

            Tensor sums_7 = Scope.keep(torch.cat(new TensorVector(sums_6, norm.view(1)), 0));
            return new Started(step + 1, learningRate, clock.read(), sums_7, internal);
        }
    }

    private void checkIds(Batch batch) {
        for (int id : batch.inputs_BxL()) {
            if (id < 0 || id >= model.config().V()) {
                model.checkTokens(id);
            }
        }
    }

    /** Adds up the gradients of all micro-batches and returns the loss summed over this rank's targets. */
    private Tensor lossAndGradients(Batch batch, long step) {
        Tensor sum = Tensors.zeros(model.device());
        int rows = batch.B() / options.microBatches;
        Tensors.fill(crossEntropy_1, 0);
        engine.begin(options.microBatches);
        for (int from = 0; from < batch.B(); from += rows) {
            seedRandomNumbers(step, from / rows);
            try (var on = Grad.on()) {
                sum = engine.lossAndGradients(batch.rows(from, from + rows), this::measuredLoss, clock)
                        .add_(sum);
            }
        }
        return sum;
    }

    /**
     * Returns the loss and adds up the cross-entropy beside it, from which perplexity is computed whatever the loss is. For a
     * loss other than cross-entropy that costs one more pass over the logits.
     */
    private Tensor measuredLoss(Tensor logits_TxV, Tensor targets_T, Tensor weights_T) {
        Tensor sum = options.loss.sum(logits_TxV, targets_T, weights_T);
        try (var off = Grad.off()) {
            crossEntropy_1.add_(
                    options.loss instanceof Loss.CrossEntropy
                            ? sum.detach()
                            : Loss.crossEntropy().sum(logits_TxV, targets_T, weights_T));
        }
        return sum;
    }

    /**
     * Seeds LibTorch's random numbers, which a loss may draw, from the data's seed, the step, the rank and the micro-batch. So a
     * resumed run draws the same numbers as one that never stopped, and checkpoints need not hold the generator's state.
     */
    private void seedRandomNumbers(long step, long microBatch) {
        long seed = options.data.seed();
        for (long part : new long[] {step, ranks.rank(), microBatch}) {
            seed = new SplittableRandom(seed).nextLong() + part; // hashed first: seed 1, step 2 is not seed 2, step 1
        }
        torch.manual_seed(seed);
    }

    private double learningRate(long step) {
        double learningRate = options.schedule.at(step);
        if (!(learningRate >= 0 && learningRate < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "The schedule returns a learning rate of " + learningRate + " at step " + step);
        }
        return learningRate;
    }

    /** Updates the parameters and returns the step's internal metrics, or null if it has none. */
    private InternalMetrics.Measured update(long step, double learningRate, Tensor gradScale) {
        boolean measured = internals.due(step);
        clock.lap(Phase.OPTIMIZER);
        Tensor before = measured ? internals.beforeUpdate() : null;
        clock.lap(Phase.REPORT);
        optimizer.update(step, learningRate, gradScale, diverged);
        engine.clearGradients();
        clock.lap(Phase.OPTIMIZER);
        InternalMetrics.Measured internal = measured ? internals.afterUpdate(before, learningRate) : null;
        clock.lap(Phase.REPORT);
        return internal;
    }

    @Override
    public void close() {
        diverged.close();
        crossEntropy_1.close();
        internals.close();
    }
}
