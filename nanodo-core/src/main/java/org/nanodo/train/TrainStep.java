package org.nanodo.train;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.data.Batch;
import org.nanodo.model.LanguageModel;
import org.nanodo.optim.Optimizer;
import org.nanodo.runtime.Agreement;
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
     * The numbers of a step, summed over all ranks.
     *
     * @param loss loss of all targets, auxiliary losses included
     * @param weight number of targets
     * @param stopping number of ranks that were told to stop
     * @param written number of ranks that have written their part of the last checkpoint
     * @param failed number of ranks that could not write it
     * @param measured the {@link Measurements} by name
     * @param norm norm of the gradient of the summed loss
     */
    record Sums(
            double loss,
            double weight,
            float stopping,
            float written,
            float failed,
            Map<String, Double> measured,
            double norm) {
        private static final int LOSS = 0;
        private static final int WEIGHT = 1;
        private static final int MEASURED = 5;

        /** Reads them in the order in which they lie on the device. */
        private static Sums read(List<String> names, Tensor sums_K) {
            float[] s = Tensors.toFloats(sums_K);
            var measured = new LinkedHashMap<String, Double>();
            for (int i = 0; i < names.size(); i++) {
                measured.put(names.get(i), (double) s[MEASURED + i]);
            }
            return new Sums(s[LOSS], s[WEIGHT], s[2], s[3], s[4], measured, s[s.length - 1]);
        }
    }

    /** A step that was started on the device. Its number counts from 1; internal is null if it has no internal metrics. */
    record Started(
            long step,
            double learningRate,
            Map<String, Double> seconds,
            List<String> measured,
            Tensor sums_K,
            InternalMetrics.Measured internal)
            implements AutoCloseable {
        /** Waits for the device and returns the step's numbers. */
        Sums read() {
            return Sums.read(measured, sums_K);
        }

        @Override
        public void close() {
            sums_K.close();
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
    private final Measurements measurements = new Measurements(); // of this rank in this step
    private final Agreement agreement;
    private final Tensor diverged; // 1 once a loss or gradient was not finite: nothing is updated any more

    TrainStep(TrainerBuilder options, Engine engine, Optimizer.State optimizer, StepClock clock) {
        this.options = options;
        this.model = options.model;
        this.engine = engine;
        this.ranks = engine.ranks();
        this.optimizer = optimizer;
        this.clock = clock;
        internals = new InternalMetrics(model, engine, options.internalSteps);
        agreement = new Agreement(ranks, model.device());
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
    Started start(Batch batch, long step, boolean stopping, Checkpoints.Progress save) throws IOException {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            checkIds(batch);
            float[] mine = {(float) batch.weight(), stopping ? 1 : 0, save.written() ? 1 : 0, save.failed() ? 1 : 0};
            Tensor mine_4 = Tensors.floats(model.device(), mine, 4); // before the device is busy: copies wait for it

            Tensor loss = lossAndGradients(batch, step);
            if (ranks.world() > 1) {
                measurements.agree(agreement, loss);
            }
            Tensor sums_K = torch.cat(new TensorVector(loss.view(1), mine_4, measurements.values()), 0);
            ranks.allReduce(sums_K).await();

            Tensor norm = engine.globalNorm();
            Tensor isFinite = torch.isfinite(norm.add(sums_K.select(0, Sums.LOSS)));
            diverged.logical_or_(isFinite.logical_not());

            // The gradient is the summed loss's. Divided by the weight it is the mean's; divided by more it is clipped.
            Tensor weight = sums_K.select(0, Sums.WEIGHT);
            Tensor divisor = weight.add(weight.eq(new Scalar(0))); // a batch of padding has no gradient to scale
            Tensor gradScale = norm.div(new Scalar(options.clip)).maximum(divisor);

            double learningRate = learningRate(step);
            InternalMetrics.Measured internal = update(step + 1, learningRate, gradScale);

            Tensor sums = Scope.keep(torch.cat(new TensorVector(sums_K, norm.view(1)), 0));
            return new Started(step + 1, learningRate, clock.read(), measurements.names(), sums, internal);
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
        long firstRow = (long) ranks.rank() * batch.B();
        long seed = mix(options.data.seed(), step);
        measurements.clear();
        engine.begin(options.microBatches);
        for (int from = 0; from < batch.B(); from += rows) {
            // A loss may draw LibTorch's random numbers. They depend on rank and micro-batch, unlike dropout.
            torch.manual_seed(mix(mix(seed, ranks.rank()), from / rows));
            var micro = new MicroBatch(
                    batch.rows(from, from + rows), firstRow + from, seed, options.loss, measurements, clock);
            try (var on = Grad.on()) {
                sum = engine.lossAndGradients(micro).add_(sum);
            }
        }
        return sum;
    }

    /**
     * Derives a seed, hashed so that seed 1, step 2 is not seed 2, step 1. Since each step has its own, a resumed run draws the
     * same numbers as one that never stopped, and checkpoints need not hold a generator's state.
     */
    private static long mix(long seed, long part) {
        return new SplittableRandom(seed).nextLong() + part;
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
        measurements.close();
        internals.close();
    }
}
