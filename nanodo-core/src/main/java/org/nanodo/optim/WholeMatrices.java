package org.nanodo.optim;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Scope;

/**
 * Functions of whole matrices, of which each rank may have but a slice. The matrices of one block are put together on all
 * ranks, each applies the function to those that it is to compute, and all receive the results. That takes the memory of these
 * matrices in float32, and two all-reduces of them. Products of matrices are worth that: on W ranks each does about a W-th.
 */
final class WholeMatrices {
    private final Collectives ranks;
    private final int[] members;
    private final MatrixSlice[] slices;
    private final int[] computedBy;

    /** @param members indices of the parameters, all of one block */
    private WholeMatrices(List<Parameter> parameters, List<Integer> members, Collectives ranks) {
        this.ranks = ranks;
        this.members = members.stream().mapToInt(i -> i).toArray();
        slices = members.stream().map(i -> MatrixSlice.of(parameters.get(i))).toArray(MatrixSlice[]::new);
        computedBy = divided();
    }

    /** These parameters block by block, or one by one where a rank alone has them whole. */
    static List<WholeMatrices> of(List<Parameter> parameters, Collectives ranks) {
        var blocks = new LinkedHashMap<String, List<Integer>>();
        for (int i = 0; i < parameters.size(); i++) {
            String name = parameters.get(i).name();
            blocks.computeIfAbsent(ranks.world() == 1 ? name : Matrices.block(name), any -> new ArrayList<>())
                    .add(i);
        }
        Collection<List<Integer>> members = blocks.values();
        return members.stream()
                .map(block -> new WholeMatrices(parameters, block, ranks))
                .toList();
    }

    /** Which rank computes which: the largest first, each by the rank that has the least to do. */
    private int[] divided() {
        int[] computedBy = new int[slices.length];
        double[] work = new double[ranks.world()];
        IntStream.range(0, slices.length)
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -work(slices[i])))
                .forEach(i -> {
                    int idlest = IntStream.range(0, work.length)
                            .boxed()
                            .min(Comparator.comparingDouble(rank -> work[rank]))
                            .orElseThrow();
                    computedBy[i] = idlest;
                    work[idlest] += work(slices[i]);
                });
        return computedBy;
    }

    /** Of products that make MxM of MxN, and MxN of MxM and MxN. */
    private static double work(MatrixSlice matrix) {
        double M = Math.min(matrix.I(), matrix.O());
        double N = Math.max(matrix.I(), matrix.O());
        return M * M * N;
    }

    int size() {
        return members.length;
    }

    /** Its index among the parameters. */
    int index(int member) {
        return members[member];
    }

    MatrixSlice slice(int member) {
        return slices[member];
    }

    /**
     * Applies the function to each whole matrix.
     *
     * @param from this rank's slices, one a member
     * @param to receive the results' slices
     */
    void apply(UnaryOperator<Tensor> function, List<Tensor> from, List<Tensor> to) {
        if (ranks.world() == 1) {
            for (int i = 0; i < slices.length; i++) {
                slices[i].rows(to.get(i)).copy_(function.apply(slices[i].rows(from.get(i))));
            }
            return;
        }
        long numel = Arrays.stream(slices).mapToLong(s -> s.I() * s.O()).sum();
        Tensor all = from.get(0).new_zeros(numel);
        List<Tensor> parts = parts(all);
        for (int i = 0; i < slices.length; i++) {
            parts.get(i).copy_(from.get(i));
        }
        ranks.allReduce(all).await();
        compute(function, all);
        ranks.allReduce(all).await();
        for (int i = 0; i < slices.length; i++) {
            to.get(i).copy_(parts.get(i));
        }
    }

    /** Overwrites the matrices by this rank's results, and by zeros where another rank has them. */
    private void compute(UnaryOperator<Tensor> function, Tensor all) {
        long start = 0;
        for (int i = 0; i < slices.length; i++) {
            try (var scope = Scope.open()) {
                long numel = slices[i].I() * slices[i].O();
                Tensor matrix_IxO = all.narrow(0, start, numel).view(slices[i].I(), slices[i].O());
                if (computedBy[i] == ranks.rank()) {
                    matrix_IxO.copy_(function.apply(matrix_IxO));
                } else {
                    matrix_IxO.zero_();
                }
                start += numel;
            }
        }
    }

    /** What this rank's slices are of all matrices one after the other. */
    private List<Tensor> parts(Tensor all) {
        var parts = new ArrayList<Tensor>();
        long start = 0;
        for (MatrixSlice slice : slices) {
            parts.add(all.narrow(0, start + slice.start(), slice.numel()));
            start += slice.I() * slice.O();
        }
        return parts;
    }
}
