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
 * Splits parameters by name into groups that have one weight decay and one learning rate each.
 *
 * @param weightDecay weight decay of the parameters that {@code decays} selects; the others have none
 * @param decays whether the parameter of a name decays
 * @param multiplier factor of a parameter's learning rate, and so of its decay
 */
public record ParameterGroups(double weightDecay, Predicate<String> decays, ToDoubleFunction<String> multiplier) {
    private record Key(double weightDecay, double multiplier) {}

    public ParameterGroups {
        if (!(weightDecay >= 0 && weightDecay < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("The weight decay is " + weightDecay + ", it must be finite and >= 0");
        }
    }

    /** Returns a single group: this decay and the schedule's learning rate for every parameter. */
    public static ParameterGroups decaying(double weightDecay) {
        return new ParameterGroups(weightDecay, name -> true, name -> 1);
    }

    /** Starts a rule once per group, so that each group takes few calls into LibTorch. */
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
        double factor = multiplier.applyAsDouble(name);
        if (!(factor >= 0 && factor < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "The learning rate of " + name + " is multiplied by " + factor + ", which must be finite and >= 0");
        }
        return new Key(decays.test(name) ? weightDecay : 0, factor);
    }

    /** Joins the states of two disjoint sets of parameters. */
    static Optimizer.State both(Optimizer.State first, Optimizer.State second) {
        return new Parts(List.of(new Part(first, 1), new Part(second, 1)));
    }

    private record Part(Optimizer.State state, double multiplier) {}

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
