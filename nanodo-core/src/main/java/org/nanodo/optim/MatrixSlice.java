package org.nanodo.optim;

import java.util.Arrays;
import java.util.stream.LongStream;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;

/**
 * This rank's slice of a parameter that is seen as the matrix that a layer multiplies by: in×out in the default model, out×in
 * in a Llama. The slice is a range of elements in row-major order, so its first and last row may be incomplete.
 *
 * @param I rows of the whole matrix
 * @param O columns of the whole matrix
 * @param start index of the slice's first element
 * @param numel number of the slice's elements
 */
record MatrixSlice(long I, long O, long start, long numel) {
    static MatrixSlice of(Parameter parameter) {
        long[] matrix = shape(parameter.slice().shape());
        return new MatrixSlice(matrix[0], matrix[1], parameter.slice().start(), parameter.numel());
    }

    /**
     * Returns rows and columns of a parameter as a matrix, or null for a vector. Heads and their width become one dimension:
     * D×H×Dh is D×(H·Dh), and H×Dh×D is (H·Dh)×D. Of all ways to fold, the one nearest to a square is that, whatever the name.
     */
    static long[] shape(long... shape) {
        long[] best = null;
        for (int fold = 1; fold < shape.length; fold++) {
            long rows = product(Arrays.stream(shape, 0, fold));
            long columns = product(Arrays.stream(shape, fold, shape.length));
            if (best == null || Math.max(rows, columns) < Math.max(best[0], best[1])) {
                best = new long[] {rows, columns};
            }
        }
        return best;
    }

    private static long product(LongStream sizes) {
        return sizes.reduce(1, (a, b) -> a * b);
    }

    /** Returns the slice's rows: the slice's own memory if all are complete, else a copy with zeros for missing elements. */
    Tensor rows(Tensor slice) {
        if (isComplete()) {
            return slice.view(R(), O);
        }
        Tensor rows_RxO = slice.new_zeros(R(), O);
        in(rows_RxO).copy_(slice);
        return rows_RxO;
    }

    /** Writes the values of changed {@link #rows} back to the slice. */
    void write(Tensor rows_RxO, Tensor slice) {
        if (!isComplete()) {
            slice.copy_(in(rows_RxO));
        }
    }

    /** Extends one number per row of the slice to one per row of the matrix, with zeros for the others. */
    Tensor among(Tensor numbers_R) {
        if (R() == I) {
            return numbers_R;
        }
        Tensor numbers_I = numbers_R.new_zeros(I);
        of(numbers_I).copy_(numbers_R);
        return numbers_I;
    }

    /** Selects the numbers of the slice's rows from one number per row of the matrix. */
    Tensor of(Tensor numbers_I) {
        return numbers_I.narrow(0, start / O, R());
    }

    /** Selects the slice's elements from the whole matrix. */
    Tensor ofWhole(Tensor matrix_IxO) {
        return matrix_IxO.view(-1).narrow(0, start, numel);
    }

    /** Returns the number of rows that the slice has elements of. */
    private long R() {
        return numel == 0 ? 0 : (start + numel - 1) / O - start / O + 1;
    }

    private boolean isComplete() {
        return numel == R() * O;
    }

    private Tensor in(Tensor rows_RxO) {
        return rows_RxO.view(-1).narrow(0, start % O, numel);
    }
}
