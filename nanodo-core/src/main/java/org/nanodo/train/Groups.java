package org.nanodo.train;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import org.nanodo.model.Parameter;

/**
 * Which parameters decay, and whose learning rate is another than the schedule's, by name.
 *
 * @param weightDecay of the parameters that {@code decays} names; the others have none
 * @param multiplier of a parameter's learning rate, and so of its decay
 */
public record Groups(double weightDecay, Predicate<String> decays, ToDoubleFunction<String> multiplier) {
    private record Key(double weightDecay, double multiplier) {}

    public Groups {
        if (!(weightDecay >= 0 && weightDecay < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("The weight decay is " + weightDecay + ", it has to be 0 or more");
        }
    }

    /** One group: this decay on every parameter, the schedule's learning rate. */
    public static Groups decaying(double weightDecay) {
        return new Groups(weightDecay, name -> true, name -> 1);
    }

    /** The rule's state, group by group, so that each group takes few calls into LibTorch. */
    Optimizer.State start(List<Parameter> parameters, GroupedOptimizer<?> rule) {
        var groups = new LinkedHashMap<Key, List<Parameter>>();
        for (Parameter p : parameters) {
            groups.computeIfAbsent(key(p.name()), any -> new ArrayList<>()).add(p);
        }
        var parts = new ArrayList<Parts.Part>();
        groups.forEach((key, group) -> parts.add(new Parts.Part(rule.start(group, key.weightDecay), key.multiplier)));
        return new Parts(parts);
    }

    private Key key(String name) {
        double multiplied = multiplier.applyAsDouble(name);
        if (!(multiplied >= 0 && multiplied < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "The learning rate of " + name + " is multiplied by " + multiplied + ": 0 or more is possible");
        }
        return new Key(decays.test(name) ? weightDecay : 0, multiplied);
    }
}
