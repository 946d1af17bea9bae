package org.nanodo.train;

import java.util.ServiceLoader;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;

/**
 * The function that training minimises, summed over tokens. It is called for one chunk of a batch after another, and the sums
 * are divided by the weight of all tokens of the step, so that chunks, micro-batches and ranks do not change the result.
 */
@FunctionalInterface
public interface Loss {
    /** The name of {@link #crossEntropy}. */
    String CROSS_ENTROPY = "cross_entropy";

    /**
     * Returns the weighted sum of the tokens' losses, one number that has a gradient.
     *
     * @param logits_TxV float32
     * @param targets_T int64 ids
     * @param weights_T float32, zero for padding
     */
    Tensor sum(Tensor logits_TxV, Tensor targets_T, Tensor weights_T);

    /** Returns the negative log-likelihood of the targets, in nats. */
    static Loss crossEntropy() {
        return new CrossEntropy();
    }

    /** The negative log-likelihood of the targets, in nats. */
    record CrossEntropy() implements Loss {
        @Override
        public Tensor sum(Tensor logits_TxV, Tensor targets_T, Tensor weights_T) {
            return tokenCrossEntropy(logits_TxV, targets_T).mul(weights_T).sum();
        }
    }

    /** Returns the cross-entropy of each token, in nats. */
    static Tensor tokenCrossEntropy(Tensor logits_TxV, Tensor targets_T) {
        int noReduction = 0;
        int ignoreNothing = -100;
        return torch.cross_entropy_loss(logits_TxV, targets_T, new TensorOptional(), noReduction, ignoreNothing, 0.0);
    }

    /**
     * A loss that a config can select by name. It is a public class with a constructor without parameters, which its jar lists in
     * {@code META-INF/services/org.nanodo.train.Loss$Named}.
     */
    interface Named extends Loss {
        String name();
    }

    /** A model with a loss of its own, which is the default for training it. */
    interface OfModel {
        Loss loss();
    }

    /**
     * Returns {@code cross_entropy} or the {@link Named} loss of this name.
     *
     * @throws IllegalArgumentException if there is no loss of this name
     */
    static Loss named(String name) {
        var names = new TreeSet<>(Set.of(CROSS_ENTROPY));
        for (Named loss : ServiceLoader.load(Named.class)) {
            names.add(loss.name());
            if (loss.name().equals(name)) {
                return loss;
            }
        }
        if (name.equals(CROSS_ENTROPY)) {
            return crossEntropy();
        }
        throw new IllegalArgumentException(
                "There is no loss \"" + name + "\" on the class path; known are " + String.join(", ", names));
    }
}
