package org.nanodo.optim;

import java.util.List;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;

/**
 * A rule with decoupled weight decay whose decay and learning rate can differ from parameter to parameter. It is started once
 * for each group of parameters that have both in common; {@link GroupState} is the base of its state.
 *
 * @param <R> the rule itself
 */
public interface GroupedOptimizer<R extends GroupedOptimizer<R>> extends Optimizer {
    ParameterGroups groups();

    R groups(ParameterGroups groups);

    /**
     * Creates the state of one group, whose updates receive the group's own learning rate.
     *
     * @param group at least one parameter, the same ones on every rank
     * @param weightDecay each update subtracts this times the learning rate from each parameter
     * @param ranks as in {@link Optimizer#start}
     */
    State startGroup(List<Parameter> group, double weightDecay, Collectives ranks);

    @Override
    default State start(List<Parameter> parameters, Collectives ranks) {
        return groups().start(parameters, ranks, this);
    }

    /**
     * Sets the weight decay: each update subtracts this times the learning rate from a parameter. NanoDO's {@code
     * independent_weight_decay}, which does not depend on the peak of the schedule, is {@code weightDecay(perUpdate / peak)}.
     */
    default R weightDecay(double weightDecay) {
        return groups(new ParameterGroups(weightDecay, groups().decays(), groups().multiplier()));
    }

    /** Selects by name which parameters decay: {@code name -> !name.contains("norm")}, for example. Default: all. */
    default R decays(Predicate<String> decays) {
        return groups(new ParameterGroups(groups().weightDecay(), decays, groups().multiplier()));
    }

    /**
     * Multiplies the learning rate, and so the decay, by a factor that depends on the parameter's name: {@code name ->
     * name.contains("embed") ? 0.1 : 1}, for example. Default: 1.
     */
    default R multiplier(ToDoubleFunction<String> multiplier) {
        return groups(new ParameterGroups(groups().weightDecay(), groups().decays(), multiplier));
    }
}
