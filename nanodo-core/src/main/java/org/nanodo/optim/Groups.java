package org.nanodo.optim;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.checkpoint.Slice;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;

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
    Optimizer.State start(List<Parameter> parameters, Collectives ranks, GroupedOptimizer<?> rule) {
        var groups = new LinkedHashMap<Key, List<Parameter>>();
        for (Parameter p : parameters) {
            groups.computeIfAbsent(key(p.name()), any -> new ArrayList<>()).add(p);
        }
        var parts = new ArrayList<Part>();
        groups.forEach(
                (key, group) -> parts.add(new Part(rule.startGroup(group, key.weightDecay, ranks), key.multiplier)));
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

    /** @param multiplier of the learning rate */
    private record Part(Optimizer.State state, double multiplier) {}

    /** Two states as one, each of parameters of its own. */
    static Optimizer.State both(Optimizer.State first, Optimizer.State second) {
        return new Parts(List.of(new Part(first, 1), new Part(second, 1)));
    }

    private record Parts(List<Part> parts) implements Optimizer.State {
        @Override
        public void update(long step, double learningRate, Tensor gradScale, Tensor skip) {
            for (Part part : parts) {
                part.state.update(step, learningRate * part.multiplier, gradScale, skip);
            }
        }

        @Override
        public Map<String, Slice> tensors() {
            var all = new LinkedHashMap<String, Slice>();
            parts.forEach(part -> all.putAll(part.state.tensors()));
            return all;
        }

        @Override
        public void close() {
            parts.forEach(part -> part.state.close());
        }
    }
}
