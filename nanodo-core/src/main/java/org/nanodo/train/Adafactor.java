package org.nanodo.train;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Scope;

/**
 * Adafactor (Shazeer and Stern 2018), as optax has it: second moments of a matrix are the product of one number a row and one
 * a column, so that its memory is next to nothing. Kernels of attention are matrices here, D×(H·Dh) and (H·Dh)×D, as in the
 * paper; optax looks at their two largest dimensions, and so does not factor heads narrower than {@code minFactored}. Unlike
 * optax's, the weight decay is times the learning rate.
 *
 * @param decayRate second moments decay by 1 − t^−decayRate at step t
 * @param momentum decay of a mean of updates, which takes as much memory as the parameters; 0 for none
 * @param eps added to squares of gradients
 * @param clip root mean square that a parameter's update is scaled down to, before the learning rate
 * @param factored false keeps a second moment for every number, as AdamW does
 * @param minFactored rows and columns that a matrix needs at least to be factored
 * @param parameterScale makes the learning rate relative to the parameter's root mean square, at least 1e-3
 */
public record Adafactor(
        double decayRate,
        double momentum,
        double eps,
        double clip,
        boolean factored,
        int minFactored,
        boolean parameterScale,
        Groups groups)
        implements GroupedOptimizer<Adafactor> {
    private static final double MIN_PARAMETER_SCALE = 1e-3;

    public Adafactor {
        if (!(decayRate > 0 && momentum >= 0 && momentum < 1 && eps > 0 && clip > 0 && minFactored > 0)) {
            throw new IllegalArgumentException("Adafactor wants decayRate, eps, clip and minFactored > 0 and "
                    + "0 ≤ momentum < 1, not decayRate=" + decayRate + " eps=" + eps + " clip=" + clip + " minFactored="
                    + minFactored + " momentum=" + momentum);
        }
    }

    /** Decay rate 0.8, no momentum, eps 1e-30, clip 1, factored from 128×128 on, relative learning rate, no weight decay. */
    public static Adafactor with() {
        return new Adafactor(0.8, 0, 1e-30, 1, true, 128, true, Groups.decaying(0));
    }

    public Adafactor decayRate(double decayRate) {
        return new Adafactor(decayRate, momentum, eps, clip, factored, minFactored, parameterScale, groups);
    }

    public Adafactor momentum(double momentum) {
        return new Adafactor(decayRate, momentum, eps, clip, factored, minFactored, parameterScale, groups);
    }

    public Adafactor eps(double eps) {
        return new Adafactor(decayRate, momentum, eps, clip, factored, minFactored, parameterScale, groups);
    }

    /** {@link Double#POSITIVE_INFINITY} for none. */
    public Adafactor clip(double clip) {
        return new Adafactor(decayRate, momentum, eps, clip, factored, minFactored, parameterScale, groups);
    }

    public Adafactor factored(boolean factored) {
        return new Adafactor(decayRate, momentum, eps, clip, factored, minFactored, parameterScale, groups);
    }

    public Adafactor minFactored(int minFactored) {
        return new Adafactor(decayRate, momentum, eps, clip, factored, minFactored, parameterScale, groups);
    }

    public Adafactor parameterScale(boolean parameterScale) {
        return new Adafactor(decayRate, momentum, eps, clip, factored, minFactored, parameterScale, groups);
    }

    @Override
    public Adafactor groups(Groups groups) {
        return new Adafactor(decayRate, momentum, eps, clip, factored, minFactored, parameterScale, groups);
    }

    /** @throws IllegalArgumentException if parameters are sharded: rows, columns and root mean squares need all of one */
    @Override
    public State start(List<Parameter> group, double weightDecay) {
        Matrices.checkWhole("Adafactor", group);
        return new Moments(group, weightDecay);
    }

    private boolean factors(Parameter parameter) {
        long[] matrix = Matrices.shape(parameter.shape());
        return factored && matrix != null && Math.min(matrix[0], matrix[1]) >= minFactored;
    }

    private final class Moments extends DecoupledState {
        private final List<SecondMoment> seconds = new ArrayList<>();
        private final List<Tensor> firsts;

        Moments(List<Parameter> parameters, double weightDecay) {
            super(parameters, weightDecay);
            parameters.forEach(p -> seconds.add(factors(p) ? new Factored(p) : new Full(p)));
            firsts = momentum > 0 ? moments("adafactor.m") : List.of();
        }

        @Override
        void toUpdates(List<Tensor> gradients, long step, double learningRate, Tensor skip) {
            Tensor share = unlessSkipped(skip, Math.pow(step, -decayRate)); // of this step in the second moments
            for (int i = 0; i < gradients.size(); i++) {
                try (var scope = Scope.open()) {
                    Tensor update = gradients.get(i);
                    seconds.get(i).normalise(update, share);
                    update.div_(rms(update).div_(new Scalar(clip)).clamp_min_(new Scalar(1)));
                    if (parameterScale) {
                        update.mul_(rms(parameters.get(i).tensor()).clamp_min_(new Scalar(MIN_PARAMETER_SCALE)));
                    }
                    update.mul_(new Scalar(learningRate));
                    if (!firsts.isEmpty()) {
                        firsts.get(i).lerp_(update, unlessSkipped(skip, 1 - momentum));
                        update.copy_(firsts.get(i)).mul_(unlessSkipped(skip, 1));
                    }
                }
            }
        }

        /** Root mean square, one number on the device. */
        private static Tensor rms(Tensor tensor) {
            return torch.linalg_vector_norm(tensor).div_(new Scalar(Math.sqrt(tensor.numel())));
        }

        /**
         * A running mean of squares. What it divides by is never below eps, which counts only before the first step that was
         * not skipped: every square has eps added.
         */
        private interface SecondMoment {
            /** Takes the gradient in, then divides it, in place, by the root. At a skipped step both are 0 and nothing changes. */
            void normalise(Tensor gradient, Tensor share);
        }

        private final class Full implements SecondMoment {
            private final Tensor mean;

            Full(Parameter parameter) {
                mean = moment("adafactor.v", parameter);
            }

            @Override
            public void normalise(Tensor gradient, Tensor share) {
                mean.lerp_(gradient.square().add_(new Scalar(eps)), share);
                gradient.mul_(mean.clamp_min(new Scalar(eps)).rsqrt_());
            }
        }

        private final class Factored implements SecondMoment {
            private final Tensor rows_I;
            private final Tensor columns_O;

            Factored(Parameter parameter) {
                long[] matrix = Matrices.shape(parameter.shape());
                rows_I = statistic("adafactor.row", parameter, matrix[0]);
                columns_O = statistic("adafactor.column", parameter, matrix[1]);
            }

            @Override
            public void normalise(Tensor gradient, Tensor share) {
                Tensor gradient_IxO = Matrices.view(gradient);
                rows_I.lerp_(meanSquare(gradient_IxO, 1), share);
                columns_O.lerp_(meanSquare(gradient_IxO, 0), share);
                Tensor r_I = rows_I.clamp_min(new Scalar(eps));
                Tensor c_O = columns_O.clamp_min(new Scalar(eps));
                gradient_IxO.mul_(r_I.div(r_I.mean()).rsqrt_().unsqueeze(1)).mul_(c_O.rsqrt_());
            }

            /** From the norm, which needs no memory for the squares. */
            private Tensor meanSquare(Tensor gradient_IxO, int over) {
                return torch.linalg_vector_norm(
                                gradient_IxO, new Scalar(2), new long[] {over}, false, new ScalarTypeOptional())
                        .square_()
                        .div_(new Scalar(gradient_IxO.size(over)))
                        .add_(new Scalar(eps));
            }
        }
    }
}
