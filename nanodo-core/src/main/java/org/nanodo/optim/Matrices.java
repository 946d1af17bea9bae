package org.nanodo.optim;

import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Parameters as the matrices that a layer multiplies with: in×out in the default model, in a Llama out×in. */
final class Matrices {
    private static final Pattern IN_BLOCK = Pattern.compile("(.*\\.\\d+)\\..*"); // they have its number in their names

    private Matrices() {}

    /**
     * Heads and their width are one dimension: D×H×Dh is D×(H·Dh), and H×Dh×D is (H·Dh)×D. Of the places to fold at it is the
     * one that gives the matrix nearest to a square, which needs no names.
     *
     * @return rows and columns, or null for a vector
     */
    static long[] shape(long... shape) {
        long[] best = null;
        for (int fold = 1; fold < shape.length; fold++) {
            long[] matrix = {product(shape, 0, fold), product(shape, fold, shape.length)};
            if (best == null || Math.max(matrix[0], matrix[1]) < Math.max(best[0], best[1])) {
                best = matrix;
            }
        }
        return best;
    }

    /** The same memory as a matrix. */
    static Tensor view(Tensor tensor) {
        return tensor.view(shape(tensor.shape()));
    }

    /** Elements of the whole parameter, of which this rank may have a part. */
    static long numel(Parameter parameter) {
        long[] shape = parameter.slice().shape();
        return product(shape, 0, shape.length);
    }

    static boolean isInBlock(String name) {
        return IN_BLOCK.matcher(name).matches();
    }

    /** The block that a parameter is in, or the name of one that is in none. */
    static String block(String name) {
        Matcher matcher = IN_BLOCK.matcher(name);
        return matcher.matches() ? matcher.group(1) : name;
    }

    /**
     * Checks that the ranks' slices add up, for a sum over ranks would otherwise be wrong without a sign of it. All ranks call it.
     *
     * @throws IllegalArgumentException on all ranks, if they have more or fewer elements of a parameter than there are
     */
    static void checkDivided(List<Parameter> parameters, Collectives ranks) {
        try (var scope = Scope.open()) {
            double[] mine = parameters.stream().mapToDouble(Parameter::numel).toArray();
            Tensor counts_P = Tensors.doubles(Device.cpu(), mine, mine.length)
                    .to(parameters.get(0).tensor().device(), ScalarType.Double);
            ranks.allReduce(counts_P).await();
            double[] counts = Tensors.toDoubles(counts_P);
            for (int i = 0; i < counts.length; i++) {
                Parameter p = parameters.get(i);
                if (counts[i] != numel(p)) {
                    throw new IllegalArgumentException(p.name() + " has " + numel(p) + " elements, but the "
                            + ranks.world() + " rank(s) that the rule was started with have " + (long) counts[i]
                            + ": start it with the ranks that the parameters are divided between, or with none if "
                            + "this process has all of them");
                }
            }
        }
    }

    private static long product(long[] sizes, int from, int to) {
        long product = 1;
        for (int i = from; i < to; i++) {
            product *= sizes[i];
        }
        return product;
    }
}
