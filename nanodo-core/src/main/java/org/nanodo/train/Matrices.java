package org.nanodo.train;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;

/** Parameters as the matrices that a layer multiplies with: in×out in the default model, in a Llama out×in. */
final class Matrices {
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

    /** @throws IllegalArgumentException if this rank has but a part of one of them */
    static void checkWhole(String rule, List<Parameter> parameters) {
        for (Parameter p : parameters) {
            if (!p.slice().isAll()) {
                throw new IllegalArgumentException(rule + " needs whole matrices, but this rank has only a part of "
                        + p.name() + ": over sharded parameters use AdamW or Lion, which go by element");
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
