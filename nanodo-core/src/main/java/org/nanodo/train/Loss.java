package org.nanodo.train;

import java.util.ServiceLoader;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.runtime.Grad;

/**
 * The function that training minimises, summed over tokens. It is called for one chunk of a batch after another, and the sums
 * are divided by the weight of all tokens of the step, so that chunks, micro-batches and ranks do not change the result.
 */
@FunctionalInterface
public interface Loss {
    /** The name of {@link #crossEntropy}. */
    String CROSS_ENTROPY = "cross_entropy";

    /** Returns the weighted sum of a chunk's losses, one number that has a gradient. */
    Tensor sum(Chunk chunk);

    /** The tokens of some positions, neighbours in a batch whose rows lie one after the other, with what a model predicts. */
    final class Chunk {
        private final Tensor logits_CxV;
        private final Tensor targets_C;
        private final Tensor weights_C;
        private final long start;
        private final int L;
        private final Measurements measurements;
        private Tensor crossEntropy_C;
        private Tensor logZ_C;

        Chunk(Tensor logits_CxV, Tensor targets_C, Tensor weights_C, long start, int L, Measurements measurements) {
            this.logits_CxV = logits_CxV;
            this.targets_C = targets_C;
            this.weights_C = weights_C;
            this.start = start;
            this.L = L;
            this.measurements = measurements;
        }

        /** Returns a chunk outside of a trainer; what is measured of it is lost. */
        public static Chunk of(Tensor logits_CxV, Tensor targets_C, Tensor weights_C) {
            return new Chunk(logits_CxV, targets_C, weights_C, 0, (int) targets_C.numel(), new Measurements());
        }

        /** Returns the logits, float32. */
        public Tensor logits_CxV() {
            return logits_CxV;
        }

        /** Returns the ids to predict, int64. */
        public Tensor targets_C() {
            return targets_C;
        }

        /** Returns the weights of the positions, float32, 0 for padding. */
        public Tensor weights_C() {
            return weights_C;
        }

        /** Returns the row of each position, int64, counted over all ranks and micro-batches of the step. */
        public Tensor rows_C() {
            Tensor range_C =
                    torch.arange(new Scalar(start), new Scalar(start + targets_C.numel()), targets_C.options());
            return torch.floor_divide(range_C, new Scalar(L));
        }

        /** Returns the cross-entropy of each position, in nats. It is computed once. */
        public Tensor crossEntropy_C() {
            if (crossEntropy_C == null) {
                crossEntropy_C = tokenCrossEntropy(logits_CxV, targets_C);
            }
            return crossEntropy_C;
        }

        /** Returns log Z, the logarithm of the sum of the exponentials of the logits, of each position. It is computed once. */
        public Tensor logZ_C() {
            if (logZ_C == null) {
                logZ_C = logits_CxV.logsumexp(-1);
            }
            return logZ_C;
        }

        /** Returns the weighted sum of a value per position. */
        public Tensor sum(Tensor value_C) {
            return value_C.mul(weights_C).sum();
        }

        /** Reports the mean over all weights of a sum like the loss's, under this name. */
        public void measure(String name, Tensor sum) {
            measurements.add(name, sum);
        }

        void measureCrossEntropy() {
            try (var off = Grad.off()) {
                measurements.add(Measurements.CROSS_ENTROPY, sum(crossEntropy_C()));
            }
        }
    }

    /** Returns the negative log-likelihood of the targets, in nats. */
    static CrossEntropy crossEntropy() {
        return new CrossEntropy(0, 0);
    }

    /**
     * The negative log-likelihood of the targets, in nats.
     *
     * @param labelSmoothing the part of the target distribution that is uniform over the vocabulary (Szegedy et al. 2016)
     * @param zLoss the factor of log² Z, which keeps logits small (PaLM, Chowdhery et al. 2022); it is reported as {@code z_loss}
     */
    record CrossEntropy(double labelSmoothing, double zLoss) implements Loss {
        public CrossEntropy {
            if (!(labelSmoothing >= 0 && labelSmoothing < 1 && zLoss >= 0)) {
                throw new IllegalArgumentException("Cross-entropy requires 0 <= labelSmoothing < 1 and zLoss >= 0, not "
                        + labelSmoothing + " and " + zLoss);
            }
        }

        public CrossEntropy labelSmoothing(double labelSmoothing) {
            return new CrossEntropy(labelSmoothing, zLoss);
        }

        public CrossEntropy zLoss(double zLoss) {
            return new CrossEntropy(labelSmoothing, zLoss);
        }

        @Override
        public Tensor sum(Chunk chunk) {
            Tensor sum = chunk.sum(chunk.crossEntropy_C());
            if (labelSmoothing > 0) {
                Tensor uniform_C = chunk.logZ_C().sub(chunk.logits_CxV().mean(-1));
                sum = sum.mul(new Scalar(1 - labelSmoothing))
                        .add(chunk.sum(uniform_C).mul(new Scalar(labelSmoothing)));
            }
            if (zLoss > 0) {
                Tensor z = chunk.sum(chunk.logZ_C().square()).mul(new Scalar(zLoss));
                chunk.measure("z_loss", z);
                sum = sum.add(z);
            }
            return sum;
        }
    }

    /** Returns the cross-entropy of each token, in nats. */
    static Tensor tokenCrossEntropy(Tensor logits_TxV, Tensor targets_T) {
        int noReduction = 0;
        int ignoreNothing = -100;
        return torch.cross_entropy_loss(logits_TxV, targets_T, new TensorOptional(), noReduction, ignoreNothing, 0.0);
    }

    /**
     * A loss that a config can select by name. It is a public class with a constructor without parameters, which its jar lists in
     * {@code META-INF/services/org.nanodo.train.Loss$Named}.
     */
    interface Named extends Loss {
        String name();
    }

    /** A model with a loss of its own, which is the default for training it. */
    interface OfModel {
        Loss loss();
    }

    /**
     * Returns {@code cross_entropy} or the {@link Named} loss of this name.
     *
     * @throws IllegalArgumentException if there is no loss of this name
     */
    static Loss named(String name) {
        var names = new TreeSet<>(Set.of(CROSS_ENTROPY));
        for (Named loss : ServiceLoader.load(Named.class)) {
            names.add(loss.name());
            if (loss.name().equals(name)) {
                return loss;
            }
        }
        if (name.equals(CROSS_ENTROPY)) {
            return crossEntropy();
        }
        throw new IllegalArgumentException(
                "There is no loss \"" + name + "\" on the class path; known are " + String.join(", ", names));
    }
}
