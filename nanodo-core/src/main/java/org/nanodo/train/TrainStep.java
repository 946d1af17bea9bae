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
 * One step of training: loss and gradients of each micro-batch, their sums over the ranks, norm and clipping, the update.
 * All of it is only started on the device. Its numbers are read a step later, so that nothing waits.
 */
final class TrainStep implements AutoCloseable {
    /**
     * A step under way, of which some numbers are still on the device.
     *
     * @param step counts from 1
     * @param internal of {@link InternalMetrics}, or null
     */
    record Started(long step, double learningRate, Map<String, Double> seconds, Tensor sums_7, Tensor internal)
            implements AutoCloseable {
        /** Waits for the device. */
        Sums read() {
            float[] sums = Tensors.toFloats(sums_7);
            return new Sums(sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6]);
        }

        @Override
        public void close() {
            sums_7.close();
            if (internal != null) {
                internal.close();
            }
        }
    }

    /**
     * What the ranks add up in a step.
     *
     * @param loss of all targets
     * @param crossEntropy of all targets
     * @param weight how many targets there are
     * @param stopping ranks that want to stop
     * @param written ranks that have written their part of the last checkpoint
     * @param failed ranks that could not
     * @param norm of the gradient of the summed loss
     */
    record Sums(
            double loss,
            double crossEntropy,
            double weight,
            float stopping,
            float written,
            float failed,
            double norm) {}

    private final TrainerBuilder options;
    private final LanguageModel model;
    private final Engine engine;
    private final Collectives ranks;
    private final Optimizer.State optimizer;
    private final InternalMetrics internals;
    private final StepClock clock;
    private final MeasuredLoss loss;
    private final Tensor broken; // 1 once a loss or gradient was not finite: no update happens from then on

    TrainStep(
            TrainerBuilder options,
            Engine engine,
            Optimizer.State optimizer,
            InternalMetrics internals,
            StepClock clock) {
        this.options = options;
        this.model = options.model;
        this.engine = engine;
        this.ranks = engine.ranks();
        this.optimizer = optimizer;
        this.internals = internals;
        this.clock = clock;
        loss = new MeasuredLoss(options.loss, model.device());
        broken = Tensors.zeros(model.device());
    }

    /** Updates again, after a step that was not finite, from parameters that were read back. */
    void mend() {
        Tensors.fill(broken, 0);
    }

    /**
     * @param step updates made before
     * @param stopping whether this rank wants to stop
     * @param save how this rank's last save is doing: {@link Checkpoints#progress}
     */
    Started start(Batch batch, long step, boolean stopping, float[] save) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            checkIds(batch);
            float[] mine = {(float) batch.weight(), stopping ? 1 : 0, save[0], save[1]};
            Tensor mine_4 = Tensors.floats(model.device(), mine, 4);
            Tensor sum = lossAndGradients(batch, step);
            Tensor sums_6 = torch.cat(new TensorVector(sum.view(1), loss.crossEntropy_1(), mine_4), 0);
            ranks.allReduce(sums_6).await();
            Tensor weight = sums_6.select(0, 2);
            weight.add_(weight.eq(new Scalar(0))); // a batch of padding has no gradient to scale
            Tensor norm = engine.globalNorm();
            Tensor notFinite = torch.isfinite(norm.add(sums_6.select(0, 0))).logical_not();
            broken.logical_or_(notFinite);
            // Gradients are of the summed loss: dividing by the weight makes them the mean's, dividing by more clips
            // them.
            Tensor gradScale = norm.div(new Scalar(options.clip)).maximum(weight);
            double learningRate = learningRate(step);
            Tensor internal = update(step + 1, learningRate, gradScale);
            Tensor sums_7 = Scope.keep(torch.cat(new TensorVector(sums_6, norm.view(1)), 0));
            return new Started(step + 1, learningRate, clock.read(), sums_7, internal);
        }
    }

    /** @return the loss summed over this rank's targets */
    private Tensor lossAndGradients(Batch batch, long step) {
        Tensor sum = Tensors.zeros(model.device());
        int rows = batch.B() / options.microBatches;
        loss.reset();
        engine.begin(options.microBatches);
        for (int from = 0; from < batch.B(); from += rows) {
            seedRandomNumbers(step, from / rows);
            try (var on = Grad.on()) {
                sum = engine.lossAndGradients(batch.rows(from, from + rows), loss, clock)
                        .add_(sum);
            }
        }
        return sum;
    }

    /**
     * Seeds LibTorch's random numbers, which a loss may draw, by the data's seed, the step, the rank and the micro-batch. A
     * resumed run thus draws what one that never stopped would, and no checkpoint has to keep their state.
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
                    "The schedule gives a learning rate of " + learningRate + " at step " + step);
        }
        return learningRate;
    }

    /** @return the internal metrics, still on the device, or null if this step has none */
    private Tensor update(long step, double learningRate, Tensor gradScale) {
        boolean measured = internals.due(step);
        if (measured) {
            clock.lap(Phase.OPTIMIZER);
            internals.beforeUpdate();
            clock.lap(Phase.REPORT);
        }
        optimizer.update(step, learningRate, gradScale, broken);
        engine.clearGradients();
        clock.lap(Phase.OPTIMIZER);
        Tensor internal = measured ? internals.afterUpdate() : null;
        clock.lap(Phase.REPORT);
        return internal;
    }

    private void checkIds(Batch batch) {
        for (int id : batch.inputs_BxL()) {
            if (id < 0 || id >= model.config().V()) {
                model.checkTokens(id);
            }
        }
    }

    @Override
    public void close() {
        broken.close();
        loss.close();
    }
}
