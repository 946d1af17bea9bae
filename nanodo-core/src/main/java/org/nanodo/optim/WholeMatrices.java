package org.nanodo.optim;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Scope;

/**
 * Applies a function to the whole matrices of one block when each rank may hold only a slice of each. All ranks gather the
 * matrices, each applies the function to its share of them, and all receive the results. That takes the memory of these
 * matrices in float32 and two all-reduces of them. For matrix products it pays: on W ranks each does about a W-th.
 */
final class WholeMatrices {
    private static final Pattern IN_BLOCK = Pattern.compile("(.*\\.\\d+)\\..*"); // blocks.0.query is in blocks.0

    private final Collectives ranks;
    private final List<Integer> members; // indices of the parameters
    private final List<MatrixSlice> slices;
    private final int[] computedBy;

    private WholeMatrices(List<Parameter> parameters, List<Integer> members, Collectives ranks) {
        this.ranks = ranks;
        this.members = members;
        slices = members.stream().map(i -> MatrixSlice.of(parameters.get(i))).toList();
        computedBy = shareOut();
    }

    /** Returns these parameters block by block, or one by one if a single rank holds them whole. */
    static List<WholeMatrices> of(List<Parameter> parameters, Collectives ranks) {
        var blocks = new LinkedHashMap<String, List<Integer>>();
        for (int i = 0; i < parameters.size(); i++) {
            String name = parameters.get(i).name();
            blocks.computeIfAbsent(ranks.world() == 1 ? name : block(name), any -> new ArrayList<>())
                    .add(i);
        }
        return blocks.values().stream()
                .map(members -> new WholeMatrices(parameters, members, ranks))
                .toList();
    }

    static boolean isInBlock(String parameter) {
        return IN_BLOCK.matcher(parameter).matches();
    }

    /** Returns the name of a parameter's block, or the parameter's own if it is in none. */
    private static String block(String parameter) {
        Matcher matcher = IN_BLOCK.matcher(parameter);
        return matcher.matches() ? matcher.group(1) : parameter;
    }

    /** Returns the rank that computes each matrix: the largest first, each by the rank that has the least to do. */
    private int[] shareOut() {
        int[] computedBy = new int[slices.size()];
        double[] work = new double[ranks.world()];
        IntStream.range(0, slices.size())
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -work(slices.get(i))))
                .forEach(i -> {
                    int idlest = IntStream.range(0, work.length)
                            .boxed()
                            .min(Comparator.comparingDouble(rank -> work[rank]))
                            .orElseThrow();
                    computedBy[i] = idlest;
                    work[idlest] += work(slices.get(i));
                });
        return computedBy;
    }

    /** Returns the relative cost of products of MxN with NxM, and of the resulting MxM with MxN. */
    private static double work(MatrixSlice matrix) {
        double M = Math.min(matrix.I(), matrix.O());
        double N = Math.max(matrix.I(), matrix.O());
        return M * M * N;
    }

    int size() {
        return members.size();
    }

    /** Returns a matrix's index among the parameters. */
    int index(int member) {
        return members.get(member);
    }

    MatrixSlice slice(int member) {
        return slices.get(member);
    }

    /**
     * Applies the function to each whole matrix.
     *
     * @param from this rank's slice of each matrix
     * @param to receives this rank's slice of each result
     */
    void apply(UnaryOperator<Tensor> function, List<Tensor> from, List<Tensor> to) {
        if (ranks.world() == 1) {
            for (int i = 0; i < size(); i++) {
                slice(i).rows(to.get(i)).copy_(function.apply(slice(i).rows(from.get(i))));
            }
            return;
        }
        long numel = slices.stream().mapToLong(s -> s.I() * s.O()).sum();
        Tensor all = from.get(0).new_zeros(numel);
        List<Tensor> matrices = split(all);
        for (int i = 0; i < size(); i++) {
            slice(i).ofWhole(matrices.get(i)).copy_(from.get(i));
        }
        ranks.allReduce(all).await();
        for (int i = 0; i < size(); i++) {
            try (var scope = Scope.open()) {
                Tensor matrix_IxO = matrices.get(i);
                if (computedBy[i] == ranks.rank()) {
                    matrix_IxO.copy_(function.apply(matrix_IxO));
                } else {
                    matrix_IxO.zero_();
                }
            }
        }
        ranks.allReduce(all).await();
        for (int i = 0; i < size(); i++) {
            to.get(i).copy_(slice(i).ofWhole(matrices.get(i)));
        }
    }

    /** Returns the matrices that lie one after the other in this memory. */
    private List<Tensor> split(Tensor all) {
        var matrices = new ArrayList<Tensor>();
        long start = 0;
        for (MatrixSlice s : slices) {
            matrices.add(all.narrow(0, start, s.I() * s.O()).view(s.I(), s.O()));
            start += s.I() * s.O();
        }
        return matrices;
    }
}
