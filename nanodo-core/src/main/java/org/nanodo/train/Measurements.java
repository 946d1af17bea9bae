package org.nanodo.train;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.runtime.Agreement;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;

/**
 * Sums over the positions of a step by name: the cross-entropy, auxiliary losses, and what a {@link Loss} measures. They stay on
 * the device. The ranks agree on the names in their first step, since they sum the values in one all-reduce; a name that a rank
 * lacks counts as zero.
 */
public final class Measurements implements AutoCloseable {
    static final String CROSS_ENTROPY = "log_perplexity";

    private final Map<String, Tensor> sums = new LinkedHashMap<>();
    private boolean agreed;

    /** Adds a number on the device, of which no gradient is recorded. */
    void add(String name, Tensor sum) {
        if (sum.numel() != 1) {
            throw new IllegalArgumentException(
                    "\"" + name + "\" has " + sum.numel() + " elements; it must be one number, a sum over positions");
        }
        try (var scope = Scope.open();
                var off = Grad.off()) {
            slot(name, sum).add_(sum.detach().view(1));
        }
    }

    private Tensor slot(String name, Tensor like) {
        Tensor slot = sums.get(name);
        if (slot == null) {
            if (agreed) {
                throw new IllegalArgumentException("\"" + name + "\" was not measured in the first step of any rank: "
                        + "measure it there, too, with the value 0");
            }
            slot = Scope.keep(like.detach().new_zeros(1));
            sums.put(name, slot);
        }
        return slot;
    }

    /** Lets all ranks measure the same names from now on, in the same order. All of them call it. */
    void agree(Agreement ranks, Tensor like) throws IOException {
        if (!agreed) {
            List<String> names = ranks.union(sums.keySet());
            var before = new LinkedHashMap<>(sums);
            sums.clear();
            for (String name : names) {
                Tensor mine = before.get(name);
                sums.put(name, mine != null ? mine : Scope.keep(like.new_zeros(1)));
            }
            agreed = true;
        }
    }

    List<String> names() {
        return new ArrayList<>(sums.keySet());
    }

    /** Returns the values in the order of the names. */
    Tensor values() {
        return torch.cat(new TensorVector(sums.values().toArray(Tensor[]::new)), 0);
    }

    /** Starts again from zero. */
    void clear() {
        sums.values().forEach(Tensor::zero_);
    }

    @Override
    public void close() {
        sums.values().forEach(Tensor::close);
        sums.clear();
    }
}
