package org.nanodo.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * Computes logits of the next token for rows that grow by one token per call. It caches the keys and values of earlier tokens, so
 * that a call computes the new token alone. Rows of different lengths are aligned at their ends: shorter rows begin with
 * padding, which no token attends to.
 */
final class CachedDecoder implements AutoCloseable {
    private final LanguageModel model;
    private final int capacity;
    private final List<Cache> caches = new ArrayList<>();
    private final ModelUse casts;
    private int[] padding_B;
    private int length;
    private int attended; // how often the model has attended in this call: each time has a cache of its own
    private TensorOptional mask_Bx1xLxS;

    /** @param capacity the largest number of tokens on which a row's next token may depend */
    CachedDecoder(LanguageModel model, int capacity) {
        this.model = model;
        this.capacity = capacity;
        try (var off = Grad.off()) {
            casts = ModelUse.casts(model);
        }
    }

    /**
     * Returns logits after the last token of each row, given its last {@code capacity} tokens. If all rows have grown by one
     * token since the last call, only that token is computed; the first call, and each call beyond the capacity, computes all.
     *
     * @param lengths number of tokens of each row; the elements after them are ignored
     */
    float[][] logits(int[][] rows, int[] lengths) {
        int longest = Arrays.stream(lengths).max().orElseThrow();
        int columns = Math.min(longest, capacity);
        if (length == 0 || !model.mixesByAttentionOnly() || longest != length + 1 || longest > capacity) {
            length = 0;
            padding_B =
                    Arrays.stream(lengths).map(n -> Math.max(0, columns - n)).toArray();
        }
        try (var scope = Scope.open();
                var off = Grad.off()) {
            Tensor logits_Bx1xV = newColumns(rows, lengths, columns);
            length = columns;
            var logits = new float[rows.length][];
            for (int b = 0; b < rows.length; b++) {
                logits[b] = Tensors.toFloats(logits_Bx1xV.select(0, b));
            }
            return logits;
        }
    }

    /** Computes the columns that are not in the caches yet. */
    private Tensor newColumns(int[][] rows, int[] lengths, int columns) {
        int L = columns - length;
        int[] y_BxL = new int[rows.length * L];
        int[] positions_BxL = new int[y_BxL.length];
        float[] weights_BxL = new float[y_BxL.length];
        for (int b = 0; b < rows.length; b++) {
            for (int column = Math.max(length, padding_B[b]); column < columns; column++) {
                int i = b * L + column - length;
                y_BxL[i] = rows[b][lengths[b] - columns + column];
                positions_BxL[i] = column - padding_B[b];
                weights_BxL[i] = 1;
            }
        }
        Device device = model.device();
        mask_Bx1xLxS = mask(columns);
        attended = 0;
        try (var pass = new PlainPass(
                this::attend,
                Tensors.ids(device, positions_BxL, rows.length, L),
                Tensors.floats(device, weights_BxL, rows.length, L))) {
            return model.nextLogits(Tensors.ids(device, y_BxL, rows.length, L), pass);
        }
    }

    private Tensor attend(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh, Attention.Kernel kernel) {
        if (attended == caches.size()) {
            caches.add(new Cache());
        }
        return caches.get(attended++).attend(q_BxHxLxDh, k_BxHxLxDh, v_BxHxLxDh, kernel);
    }

    /** Lets new columns attend to all up to their own except padding; padding attends to itself, so that it stays finite. */
    private TensorOptional mask(int S) {
        if (Arrays.stream(padding_B).allMatch(padding -> padding == 0)) {
            return new TensorOptional(); // the kernel is faster without a mask
        }
        int B = padding_B.length;
        int L = S - length;
        float[] hidden_BxLxS = new float[B * L * S];
        Arrays.fill(hidden_BxLxS, Float.NEGATIVE_INFINITY);
        for (int b = 0; b < B; b++) {
            for (int own = length; own < S; own++) {
                int row = (b * L + own - length) * S;
                Arrays.fill(hidden_BxLxS, row + Math.min(padding_B[b], own), row + own + 1, 0);
            }
        }
        return new TensorOptional(Tensors.floats(model.device(), hidden_BxLxS, B, 1, L, S));
    }

    /** The keys and values, BxHxSxDh, of all columns so far, to which one block attends. */
    private final class Cache {
        private Tensor keys_BxHxSxDh;
        private Tensor values_BxHxSxDh;

        Tensor attend(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh, Attention.Kernel kernel) {
            if (keys_BxHxSxDh == null) {
                keys_BxHxSxDh = allocate(k_BxHxLxDh);
                values_BxHxSxDh = allocate(v_BxHxLxDh);
            }
            long L = k_BxHxLxDh.size(2);
            keys_BxHxSxDh.narrow(2, length, L).copy_(k_BxHxLxDh);
            values_BxHxSxDh.narrow(2, length, L).copy_(v_BxHxLxDh);
            return kernel.of(
                    q_BxHxLxDh,
                    keys_BxHxSxDh.narrow(2, 0, length + L),
                    values_BxHxSxDh.narrow(2, 0, length + L),
                    mask_Bx1xLxS,
                    length == 0 && !mask_Bx1xLxS.has_value());
        }

        private Tensor allocate(Tensor x_BxHxLxDh) {
            // The type in which the kernel computes, so that no token converts all earlier ones.
            ScalarType type = model.device().isCpu() ? ScalarType.Float : Tensors.type(x_BxHxLxDh);
            return Scope.keep(Tensors.empty(
                    model.device(), type, x_BxHxLxDh.size(0), x_BxHxLxDh.size(1), capacity, x_BxHxLxDh.size(3)));
        }

        void close() {
            if (keys_BxHxSxDh != null) {
                keys_BxHxSxDh.close();
                values_BxHxSxDh.close();
            }
        }
    }

    @Override
    public void close() {
        caches.forEach(Cache::close);
        caches.clear();
        casts.close();
    }
}
