package org.nanodo.optim;

import java.util.List;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;

/**
 * A rule with decoupled weight decay, and with learning rates that differ from parameter to parameter. It is written for
 * parameters that are alike in both, and started once for each such group; {@link GroupState} and {@link DecoupledState} are
 * what its state is made of.
 *
 * @param <R> the rule itself
 */
public interface GroupedOptimizer<R extends GroupedOptimizer<R>> extends Optimizer {
    Groups groups();

    R groups(Groups groups);

    /**
     * Starts with state for one group, whose multiplied learning rate it will hear.
     *
     * @param group at least one parameter, the same ones on every rank
     * @param weightDecay times the learning rate, of each parameter, taken off at each update
     * @param ranks as {@link Optimizer#start}
     */
    State startGroup(List<Parameter> group, double weightDecay, Collectives ranks);

    @Override
    default State start(List<Parameter> parameters, Collectives ranks) {
        return groups().start(parameters, ranks, this);
    }

    /**
     * What each update takes off a parameter: this times the learning rate. Independent of the peak of a schedule, as
     * NanoDO's {@code independent_weight_decay}, it is {@code weightDecay(perUpdate / peak)}.
     */
    default R weightDecay(double weightDecay) {
        return groups(new Groups(weightDecay, groups().decays(), groups().multiplier()));
    }

    /** Which parameters decay, by name: {@code name -> !name.contains("norm")}, say. Default: all. */
    default R decays(Predicate<String> decays) {
        return groups(new Groups(groups().weightDecay(), decays, groups().multiplier()));
    }

    /** A factor of the learning rate, by name: {@code name -> name.contains("embed") ? 0.1 : 1}, say. Default: 1. */
    default R multiplier(ToDoubleFunction<String> multiplier) {
        return groups(new Groups(groups().weightDecay(), groups().decays(), multiplier));
    }
}
