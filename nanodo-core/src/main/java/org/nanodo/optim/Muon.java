package org.nanodo.optim;

import java.util.ArrayList;
import java.util.List;
import java.util.function.BiPredicate;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Scope;

/**
 * Muon (Jordan 2024): the update of a matrix is its momentum with all singular values brought near 1, by Newton-Schulz
 * iterations, which are matrix products alone. It is for the matrices inside a network; another rule updates vectors, embeddings
 * and head. Attention kernels are the matrices D×(H·Dh) and (H·Dh)×D.
 *
 * @param momentum decay of the momentum
 * @param nesterov whether an update adds the current gradient once more, as Nesterov's momentum does
 * @param iterations number of Newton-Schulz iterations
 * @param dtype type of their products. On hardware that has bfloat16, Jordan's choice, they take less than half the time in it
 * @param scale size of an update, by the matrix's shape
 * @param matrices selects, by name and shape, the parameters that this rule updates
 * @param others the rule of all other parameters, with groups of its own
 */
public record Muon(
        double momentum,
        boolean nesterov,
        int iterations,
        Dtype dtype,
        Scale scale,
        BiPredicate<String, long[]> matrices,
        Optimizer others,
        ParameterGroups groups)
        implements GroupedOptimizer<Muon> {

    /** The factor of an update whose singular values are near 1, by rows and columns of the matrix as it is stored. */
    @FunctionalInterface
    public interface Scale {
        double of(long rows, long columns);

        /**
         * Returns Jordan's √max(1, out/in), for learning rates in units of the spectral norm, about 0.02. It expects in×out
         * kernels, as the default model's; for a Llama's out×in, use {@code (rows, columns) -> Scale.spectral().of(columns, rows)}.
         */
        static Scale spectral() {
            return (in, out) -> Math.sqrt(Math.max(1, (double) out / in));
        }

        /**
         * Returns 0.2·√max(in, out) (Liu et al. 2025): updates are as large as AdamW's, so that AdamW's learning rates and
         * weight decay suit.
         */
        static Scale likeAdamW() {
            return (rows, columns) -> 0.2 * Math.sqrt(Math.max(rows, columns));
        }
    }

    public Muon {
        if (!(momentum >= 0 && momentum < 1 && iterations > 0)) {
            throw new IllegalArgumentException("Muon requires 0 ≤ momentum < 1 and iterations > 0, not momentum="
                    + momentum + " iterations=" + iterations);
        }
    }

    /**
     * Returns Muon for the matrices in blocks, with Nesterov momentum 0.95, 5 iterations in float32, weight decay 0.1 and updates
     * as large as AdamW's, so that one schedule suits both; {@link AdamW#with()} updates the rest.
     */
    public static Muon with() {
        return new Muon(
                0.95,
                true,
                5,
                Dtype.FLOAT32,
                Scale.likeAdamW(),
                (name, shape) -> shape.length > 1 && WholeMatrices.isInBlock(name),
                AdamW.with(),
                ParameterGroups.decaying(0.1));
    }

    public Muon momentum(double momentum) {
        return new Muon(momentum, nesterov, iterations, dtype, scale, matrices, others, groups);
    }

    public Muon nesterov(boolean nesterov) {
        return new Muon(momentum, nesterov, iterations, dtype, scale, matrices, others, groups);
    }

    public Muon iterations(int iterations) {
        return new Muon(momentum, nesterov, iterations, dtype, scale, matrices, others, groups);
    }

    public Muon dtype(Dtype dtype) {
        return new Muon(momentum, nesterov, iterations, dtype, scale, matrices, others, groups);
    }

    public Muon scale(Scale scale) {
        return new Muon(momentum, nesterov, iterations, dtype, scale, matrices, others, groups);
    }

    public Muon matrices(BiPredicate<String, long[]> matrices) {
        return new Muon(momentum, nesterov, iterations, dtype, scale, matrices, others, groups);
    }

    public Muon others(Optimizer others) {
        return new Muon(momentum, nesterov, iterations, dtype, scale, matrices, others, groups);
    }

    @Override
    public Muon groups(ParameterGroups groups) {
        return new Muon(momentum, nesterov, iterations, dtype, scale, matrices, others, groups);
    }

    /**
     * {@inheritDoc}
     *
     * <p>Several ranks gather one block's matrices at a time, each rank orthogonalises its share of them, and all receive the
     * results: two all-reduces per block, of its matrices in float32.
     *
     * @throws IllegalArgumentException if {@code matrices} selects nothing, or a vector, or if the ranks' slices do not add up to
     *     the parameters
     */
    @Override
    public State start(List<Parameter> parameters, Collectives ranks) {
        var parts = parameters.stream()
                .collect(Collectors.partitioningBy(
                        p -> matrices.test(p.name(), p.slice().shape())));
        if (parts.get(true).isEmpty()) {
            throw new IllegalArgumentException("Muon has no matrix to update: select its parameters with matrices(…)");
        }
        for (Parameter p : parts.get(true)) {
            if (p.slice().shape().length < 2) {
                throw new IllegalArgumentException(
                        "Muon cannot update " + p.name() + ", which is not a matrix: exclude it in matrices(…)");
            }
        }
        return ParameterGroups.both(groups.start(parts.get(true), ranks, this), others.start(parts.get(false), ranks));
    }

    @Override
    public State startGroup(List<Parameter> group, double weightDecay, Collectives ranks) {
        GroupState.checkDivided(group, ranks);
        return new Momentum(group, weightDecay, ranks);
    }

    private final class Momentum extends GroupState {
        private final List<Tensor> momenta;
        private final List<WholeMatrices> blocks;

        Momentum(List<Parameter> parameters, double weightDecay, Collectives ranks) {
            super(parameters, weightDecay);
            momenta = moments("muon.m");
            blocks = WholeMatrices.of(parameters, ranks);
        }

        @Override
        protected void toUpdates(List<Tensor> gradients, long step, double learningRate, Tensor skip) {
            Tensor share = unlessSkipped(skip, 1 - momentum);
            for (WholeMatrices block : blocks) {
                try (var scope = Scope.open()) {
                    var updates = new ArrayList<Tensor>();
                    var ahead = new ArrayList<Tensor>();
                    for (int i = 0; i < block.size(); i++) {
                        Tensor g = gradients.get(block.index(i));
                        Tensor m = momenta.get(block.index(i));
                        m.lerp_(g, share);
                        updates.add(g);
                        ahead.add(nesterov ? g.lerp_(m, new Scalar(momentum)) : m);
                    }
                    block.apply(this::orthogonalised, ahead, updates);
                    for (int i = 0; i < block.size(); i++) {
                        MatrixSlice matrix = block.slice(i);
                        double rate = learningRate * scale.of(matrix.I(), matrix.O());
                        updates.get(i).mul_(unlessSkipped(skip, rate));
                    }
                }
            }
        }

        /**
         * Iterates x ↦ a·x + b·(x xᵀ) x + c·(x xᵀ)² x, which brings singular values between 0 and 1 to about 0.7 to 1.2 in five
         * iterations. Jordan chose the coefficients so that small ones grow fast, not for convergence.
         */
        private Tensor orthogonalised(Tensor matrix_IxO) {
            boolean tall = matrix_IxO.size(0) > matrix_IxO.size(1);
            Tensor x_MxN = (tall ? matrix_IxO.t() : matrix_IxO).to(dtype.scalarType()); // M ≤ N: products of MxM
            x_MxN = x_MxN.div(x_MxN.norm().add_(new Scalar(1e-7)));
            for (int i = 0; i < iterations; i++) {
                Tensor a_MxM = x_MxN.mm(x_MxN.t());
                Tensor b_MxM = torch.addmm(a_MxM, a_MxM, a_MxM, new Scalar(-4.7750), new Scalar(2.0315));
                x_MxN = torch.addmm(x_MxN, b_MxM, x_MxN, new Scalar(3.4445), new Scalar(1));
            }
            return tall ? x_MxN.t() : x_MxN;
        }
    }
}
