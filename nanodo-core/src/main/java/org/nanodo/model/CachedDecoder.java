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
 * Logits of the next token for rows that grow by one token a call. Keys and values of the tokens before are kept, so that a
 * call computes the new token alone. Rows of different length are aligned at their ends: the shorter ones begin with
 * padding, which no token sees.
 */
final class CachedDecoder implements AutoCloseable {
    private final LanguageModel model;
    private final int capacity;
    private final List<Cache> caches = new ArrayList<>();
    private final Casts casts;
    private int[] padding_B;
    private int length;
    private Tensor positions_BxL;
    private TensorOptional mask_Bx1xLxS;

    /** @param capacity the most tokens that a row's next token may depend on */
    CachedDecoder(LanguageModel model, int capacity) {
        this.model = model;
        this.capacity = capacity;
        try (var off = Grad.off()) {
            casts = Casts.of(model);
        }
        for (int i = 0; i < model.blocks().size(); i++) {
            caches.add(new Cache());
        }
    }

    /**
     * Logits after the last token of each row, given its last {@code capacity} tokens. Rows that have all grown by one token
     * since the last call cost that token alone, unless they outgrow the capacity: then, as at first, they cost all of it.
     *
     * @param lengths tokens of each row; what comes after them is not looked at
     */
    float[][] logits(int[][] rows, int[] lengths) {
        int longest = Arrays.stream(lengths).max().orElseThrow();
        int columns = Math.min(longest, capacity);
        if (length == 0 || longest != length + 1 || longest > capacity) {
            length = 0;
            padding_B =
                    Arrays.stream(lengths).map(n -> Math.max(0, columns - n)).toArray();
        }
        try (var scope = Scope.open();
                var off = Grad.off()) {
            Tensor x_BxLxD = embed(rows, lengths, columns);
            mask_Bx1xLxS = mask(columns);
            x_BxLxD = model.hidden(x_BxLxD, caches::get);
            length = columns;
            Tensor logits_Bx1xV = model.head(x_BxLxD.narrow(1, x_BxLxD.size(1) - 1, 1));
            var logits = new float[rows.length][];
            for (int b = 0; b < rows.length; b++) {
                logits[b] = Tensors.toFloats(logits_Bx1xV.select(0, b));
            }
            return logits;
        }
    }

    /** The columns that are not in the caches yet. */
    private Tensor embed(int[][] rows, int[] lengths, int columns) {
        int L = columns - length;
        int[] y_BxL = new int[rows.length * L];
        int[] positions_BxL = new int[y_BxL.length];
        for (int b = 0; b < rows.length; b++) {
            for (int column = Math.max(length, padding_B[b]); column < columns; column++) {
                int i = b * L + column - length;
                y_BxL[i] = rows[b][lengths[b] - columns + column];
                positions_BxL[i] = column - padding_B[b];
            }
        }
        this.positions_BxL = Tensors.ids(model.device(), positions_BxL, rows.length, L);
        return model.embed(Tensors.ids(model.device(), y_BxL, rows.length, L), this.positions_BxL);
    }

    /** What the new columns see: all up to their own but padding, which sees itself so that it stays finite. */
    private TensorOptional mask(int S) {
        if (Arrays.stream(padding_B).allMatch(padding -> padding == 0)) {
            return new TensorOptional(); // without one the kernel is faster
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

    /** Attention of one block over the keys and values, BxHxSxDh, of all columns so far. */
    private final class Cache implements Attention {
        private Tensor keys_BxHxSxDh;
        private Tensor values_BxHxSxDh;

        @Override
        public Tensor of(Tensor q_BxHxLxDh, Tensor k_BxHxLxDh, Tensor v_BxHxLxDh) {
            if (keys_BxHxSxDh == null) {
                keys_BxHxSxDh = room(k_BxHxLxDh);
                values_BxHxSxDh = room(v_BxHxLxDh);
            }
            long L = k_BxHxLxDh.size(2);
            keys_BxHxSxDh.narrow(2, length, L).copy_(k_BxHxLxDh);
            values_BxHxSxDh.narrow(2, length, L).copy_(v_BxHxLxDh);
            return Attention.fused(
                    q_BxHxLxDh,
                    keys_BxHxSxDh.narrow(2, 0, length + L),
                    values_BxHxSxDh.narrow(2, 0, length + L),
                    mask_Bx1xLxS,
                    length == 0 && !mask_Bx1xLxS.has_value());
        }

        @Override
        public Tensor positions(Device device, long L) {
            return positions_BxL;
        }

        private Tensor room(Tensor x_BxHxLxDh) {
            // What the kernel computes in, so that no token converts all those before it.
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
