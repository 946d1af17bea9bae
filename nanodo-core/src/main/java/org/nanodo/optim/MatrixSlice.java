package org.nanodo.optim;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;

/**
 * What this rank has of a matrix: neighbouring elements, so neighbouring rows, the first and last of which may be another
 * rank's in part.
 *
 * @param I rows of the whole matrix
 * @param O its columns
 * @param start the slice's first element
 * @param numel how many it has
 */
record MatrixSlice(long I, long O, long start, long numel) {
    static MatrixSlice of(Parameter parameter) {
        long[] matrix = Matrices.shape(parameter.slice().shape());
        return new MatrixSlice(matrix[0], matrix[1], parameter.slice().start(), parameter.numel());
    }

    /** The slice's rows: its own memory if all are complete, else a copy with zeros for what is another rank's. */
    Tensor rows(Tensor slice) {
        if (isComplete()) {
            return slice.view(R(), O);
        }
        Tensor rows_RxO = slice.new_zeros(R(), O);
        in(rows_RxO).copy_(slice);
        return rows_RxO;
    }

    /** Writes back what has become of {@link #rows}. */
    void write(Tensor rows_RxO, Tensor slice) {
        if (!isComplete()) {
            slice.copy_(in(rows_RxO));
        }
    }

    /** A number for every row: these for the slice's, zeros for the others. */
    Tensor among(Tensor numbers_R) {
        if (R() == I) {
            return numbers_R;
        }
        Tensor numbers_I = numbers_R.new_zeros(I);
        of(numbers_I).copy_(numbers_R);
        return numbers_I;
    }

    /** Of a number for every row, those for the slice's. */
    Tensor of(Tensor numbers_I) {
        return numbers_I.narrow(0, start / O, R());
    }

    /** Rows that the slice has elements of. */
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
