package org.nanodo.optim;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Scope;

/**
 * Adafactor (Shazeer and Stern 2018) as in optax: the second moments of a matrix are the product of one number per row and one
 * per column, so that they need almost no memory. Attention kernels are the matrices D×(H·Dh) and (H·Dh)×D, as in the paper;
 * optax takes their two largest dimensions and so does not factor heads narrower than {@code minFactored}. Unlike in optax, the
 * weight decay is multiplied by the learning rate.
 *
 * @param decayRate second moments decay by 1 − t^−decayRate at step t
 * @param momentum decay of a mean of updates, which takes as much memory as the parameters; 0 for none
 * @param eps added to squares of gradients
 * @param clip largest root mean square of a parameter's update, before the learning rate; larger ones are scaled down
 * @param factored whether to factor second moments; otherwise there is one per element, as in AdamW
 * @param minFactored fewest rows and columns of a matrix that is factored
 * @param parameterScale whether the learning rate is relative to the parameter's root mean square, at least 1e-3
 */
public record Adafactor(
        double decayRate,
        double momentum,
        double eps,
        double clip,
        boolean factored,
        int minFactored,
        boolean parameterScale,
        ParameterGroups groups)
        implements GroupedOptimizer<Adafactor> {
    private static final double MIN_PARAMETER_SCALE = 1e-3;

    public Adafactor {
        if (!(decayRate > 0 && momentum >= 0 && momentum < 1 && eps > 0 && clip > 0 && minFactored > 0)) {
            throw new IllegalArgumentException("Adafactor requires decayRate, eps, clip and minFactored > 0 and "
                    + "0 ≤ momentum < 1, not decayRate=" + decayRate + " eps=" + eps + " clip=" + clip + " minFactored="
                    + minFactored + " momentum=" + momentum);
        }
    }

    /**
     * Returns Adafactor with optax's defaults: decay rate 0.8, no momentum, eps 1e-30, clip 1, factored from 128×128 on, relative
     * learning rate, no weight decay.
     */
    public static Adafactor with() {
        return new Adafactor(0.8, 0, 1e-30, 1, true, 128, true, ParameterGroups.decaying(0));
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

    /** Clips updates to this root mean square; {@link Double#POSITIVE_INFINITY} switches that off. */
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
    public Adafactor groups(ParameterGroups groups) {
        return new Adafactor(decayRate, momentum, eps, clip, factored, minFactored, parameterScale, groups);
    }

    /** @throws IllegalArgumentException if the ranks' slices do not add up to the parameters */
    @Override
    public State startGroup(List<Parameter> group, double weightDecay, Collectives ranks) {
        GroupState.checkDivided(group, ranks);
        return new Moments(group, weightDecay, ranks);
    }

    /** An update takes two all-reduces: of squares by row and column, and of the squares of norms. */
    private final class Moments extends GroupState {
        private final Collectives ranks;
        private final List<SecondMoment> seconds = new ArrayList<>();
        private final List<Tensor> firsts;

        Moments(List<Parameter> parameters, double weightDecay, Collectives ranks) {
            super(parameters, weightDecay);
            this.ranks = ranks;
            for (Parameter p : parameters) {
                long[] matrix = MatrixSlice.shape(p.slice().shape());
                boolean factors = factored && matrix != null && Math.min(matrix[0], matrix[1]) >= minFactored;
                seconds.add(factors ? new Factored(p) : new Full(p));
            }
            firsts = momentum > 0 ? moments("adafactor.m") : List.of();
        }

        @Override
        protected void toUpdates(List<Tensor> gradients, long step, double learningRate, Tensor skip) {
            normalise(gradients, unlessSkipped(skip, Math.pow(step, -decayRate)));
            List<Tensor> rms = rms(gradients);
            for (int i = 0; i < gradients.size(); i++) {
                try (var scope = Scope.open()) {
                    Tensor update = gradients.get(i);
                    update.div_(rms.get(i).div_(new Scalar(clip)).clamp_min_(new Scalar(1)));
                    if (parameterScale) {
                        update.mul_(rms.get(gradients.size() + i).clamp_min_(new Scalar(MIN_PARAMETER_SCALE)));
                    }
                    update.mul_(new Scalar(learningRate));
                    if (!firsts.isEmpty()) {
                        firsts.get(i).lerp_(update, unlessSkipped(skip, 1 - momentum));
                        update.copy_(firsts.get(i)).mul_(unlessSkipped(skip, 1));
                    }
                }
            }
        }

        /** Divides gradients by the roots of their second moments, in which this step has a share. */
        private void normalise(List<Tensor> gradients, Tensor share) {
            var squares = new ArrayList<Tensor>();
            for (int i = 0; i < gradients.size(); i++) {
                try (var scope = Scope.open()) {
                    seconds.get(i).squares(gradients.get(i)).forEach(sum -> squares.add(scope.export(sum)));
                }
            }
            Iterator<Tensor> sums = sumsOverRanks(squares).iterator();
            for (int i = 0; i < gradients.size(); i++) {
                try (var scope = Scope.open()) {
                    seconds.get(i).normalise(gradients.get(i), share, sums);
                }
            }
        }

        /** Returns root mean squares, numbers on the device, of the updates and, with parameterScale, of the parameters. */
        private List<Tensor> rms(List<Tensor> updates) {
            var tensors = new ArrayList<>(updates);
            if (parameterScale) {
                parameters().forEach(p -> tensors.add(p.tensor()));
            }
            List<Tensor> norms =
                    tensors.stream().map(t -> torch.linalg_vector_norm(t)).toList();
            if (ranks.world() > 1) { // norms do not add up, their squares do
                norms.forEach(Tensor::square_);
                norms = sumsOverRanks(norms);
                norms.forEach(Tensor::sqrt_);
            }
            for (int i = 0; i < norms.size(); i++) {
                long numel = wholeNumel(parameters().get(i % updates.size()));
                norms.get(i).div_(new Scalar(Math.sqrt(numel)));
            }
            return norms;
        }

        /** Sums all tensors over the ranks, in one all-reduce, and returns the sums as vectors. */
        private List<Tensor> sumsOverRanks(List<Tensor> tensors) {
            if (ranks.world() == 1 || tensors.isEmpty()) {
                return tensors;
            }
            Tensor all = torch.cat(
                    new TensorVector(tensors.stream().map(t -> t.view(-1)).toArray(Tensor[]::new)));
            ranks.allReduce(all).await();
            var sums = new ArrayList<Tensor>();
            long start = 0;
            for (Tensor tensor : tensors) {
                sums.add(all.narrow(0, start, tensor.numel()));
                start += tensor.numel();
            }
            return sums;
        }

        /**
         * A running mean of squares. Divisors are clamped at eps, which matters only until the first step that is not skipped,
         * since eps is added to every square.
         */
        private interface SecondMoment {
            /** Returns the sums of squares of this rank's slice of the gradient that must be summed over the ranks. */
            default List<Tensor> squares(Tensor gradient) {
                return List.of();
            }

            /**
             * Updates the mean, then divides the gradient, in place, by its root. At a skipped step gradient and share are 0, and
             * nothing changes.
             *
             * @param sums its next elements are the sums of {@link #squares} over all ranks
             */
            void normalise(Tensor gradient, Tensor share, Iterator<Tensor> sums);
        }

        private final class Full implements SecondMoment {
            private final Tensor mean;

            Full(Parameter parameter) {
                mean = moment("adafactor.v", parameter);
            }

            @Override
            public void normalise(Tensor gradient, Tensor share, Iterator<Tensor> sums) {
                mean.lerp_(gradient.square().add_(new Scalar(eps)), share);
                gradient.mul_(mean.clamp_min(new Scalar(eps)).rsqrt_());
            }
        }

        private final class Factored implements SecondMoment {
            private final MatrixSlice slice;
            private final Tensor rows_I;
            private final Tensor columns_O;

            Factored(Parameter parameter) {
                slice = MatrixSlice.of(parameter);
                rows_I = statistic("adafactor.row", parameter, slice.I());
                columns_O = statistic("adafactor.column", parameter, slice.O());
            }

            @Override
            public List<Tensor> squares(Tensor gradient) {
                Tensor gradient_RxO = slice.rows(gradient);
                return List.of(slice.among(sumOfSquares(gradient_RxO, 1)), sumOfSquares(gradient_RxO, 0));
            }

            @Override
            public void normalise(Tensor gradient, Tensor share, Iterator<Tensor> sums) {
                rows_I.lerp_(mean(sums.next(), slice.O()), share);
                columns_O.lerp_(mean(sums.next(), slice.I()), share);
                Tensor r_I = rows_I.clamp_min(new Scalar(eps));
                Tensor c_O = columns_O.clamp_min(new Scalar(eps));
                Tensor r_R = slice.of(r_I.div(r_I.mean()).rsqrt_());
                Tensor gradient_RxO = slice.rows(gradient);
                gradient_RxO.mul_(r_R.unsqueeze(1)).mul_(c_O.rsqrt_());
                slice.write(gradient_RxO, gradient);
            }

            /** Squares the norm, which unlike a sum of squares needs no memory for the squares. */
            private static Tensor sumOfSquares(Tensor gradient_RxO, int over) {
                return torch.linalg_vector_norm(
                                gradient_RxO, new Scalar(2), new long[] {over}, false, new ScalarTypeOptional())
                        .square_();
            }

            private Tensor mean(Tensor sums, long count) {
                return sums.div_(new Scalar(count)).add_(new Scalar(eps));
            }
        }
    }
}
