package org.nanodo.train;

import java.util.ServiceLoader;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;

/**
 * What training makes small, summed over tokens. It is called with one chunk of a batch after another, and the sums are
 * divided by the weight of all tokens of the step: so neither chunks, micro-batches nor ranks change the result.
 */
@FunctionalInterface
public interface Loss {
    /** The name of {@link #crossEntropy}. */
    String CROSS_ENTROPY = "cross_entropy";

    /**
     * The weighted sum of the tokens' losses, as one number to take the gradient of.
     *
     * @param logits_TxV float32
     * @param targets_T int64 ids
     * @param weights_T float32; zero for padding
     */
    Tensor sum(Tensor logits_TxV, Tensor targets_T, Tensor weights_T);

    /**
     * A loss that a config can choose by its name. Those that a jar lists in {@code
     * META-INF/services/org.nanodo.train.Loss$Named} are found: a public class with a constructor without parameters.
     */
    interface Named extends Loss {
        String name();
    }

    /** A model with a loss of its own, which it is trained with where no other is asked for. */
    interface OfModel {
        Loss loss();
    }

    /** @throws IllegalArgumentException if there is none of that name, {@code cross_entropy} or one that was found */
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
                "There is no loss \"" + name + "\", but " + String.join(", ", names) + ": is its jar missing?");
    }

    /** Negative log-likelihood of the targets, in nats. */
    static Loss crossEntropy() {
        return new CrossEntropy();
    }

    /** Cross-entropy a token, in nats. */
    static Tensor tokenCrossEntropy(Tensor logits_TxV, Tensor targets_T) {
        int noReduction = 0;
        int ignoreNothing = -100;
        return torch.cross_entropy_loss(logits_TxV, targets_T, new TensorOptional(), noReduction, ignoreNothing, 0.0);
    }
}
