package org.nanodo.optim;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.checkpoint.Slice;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Operator;
import org.nanodo.runtime.Scope;

/**
 * What a rule remembers of one group of parameters: tensors that belong to it, that checkpoints hold, and that are freed at
 * the end. For a rule whose kernel applies scale, skipping and decay itself; others extend {@link DecoupledState}.
 */
public abstract class GroupState implements Optimizer.State {
    private final List<Parameter> parameters;
    private final Map<String, Slice> tensors = new LinkedHashMap<>();
    private final List<Pointer> owned = new ArrayList<>();

    protected GroupState(List<Parameter> parameters) {
        this.parameters = List.copyOf(parameters);
    }

    /** As {@link #update}, in a scope of its own and without autograd. */
    protected abstract void apply(long step, double learningRate, Tensor gradScale, Tensor skip);

    @Override
    public final void update(long step, double learningRate, Tensor gradScale, Tensor skip) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            apply(step, learningRate, gradScale, skip);
        }
    }

    protected final List<Parameter> parameters() {
        return parameters;
    }

    /** Their gradients, in the order of the parameters. */
    protected final List<Tensor> gradients() {
        return parameters.stream().map(p -> p.tensor().grad()).toList();
    }

    /**
     * Zeros like this rank's slice of the parameter. A checkpoint has them under kind and name; no other rule may have the
     * kind, or it would take a checkpoint of this one for its own.
     */
    protected final Tensor moment(String kind, Parameter parameter) {
        Tensor zeros = own(parameter.tensor().new_zeros(parameter.shape()));
        tensors.put(kind + "." + parameter.name(), parameter.slice().with(zeros));
        return zeros;
    }

    /** One such moment of each parameter. */
    protected final List<Tensor> moments(String kind) {
        return parameters.stream().map(p -> moment(kind, p)).toList();
    }

    /** Zeros of another shape than the parameter's, which every rank has whole and has to change alike. */
    protected final Tensor statistic(String kind, Parameter parameter, long... shape) {
        Tensor zeros = own(parameter.tensor().new_zeros(shape));
        tensors.put(kind + "." + parameter.name(), Slice.all(zeros));
        return zeros;
    }

    /** A list that is an argument of every update. */
    protected final IValue list(List<Tensor> tensors) {
        try (var scope = Scope.open()) {
            return own(Operator.list(tensors));
        }
    }

    /** Takes a native object out of all scopes, and frees it when this state is closed. */
    protected final <P extends Pointer> P own(P pointer) {
        owned.add(pointer);
        return Scope.keep(pointer);
    }

    @Override
    public final Map<String, Slice> tensors() {
        return Collections.unmodifiableMap(tensors);
    }

    @Override
    public final void close() {
        owned.forEach(Pointer::close);
    }
}
