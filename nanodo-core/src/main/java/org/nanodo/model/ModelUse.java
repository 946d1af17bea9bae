package org.nanodo.model;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.function.Consumer;

/**
 * A call that uses a model's parameters. Any number of inferences may run at once, on any threads; training excludes them,
 * but for those on the training thread itself. A model that is closed meanwhile frees its memory when the last call ends.
 *
 * <pre>{@code
 * try (var use = ModelUse.inference(model.parameters())) { … }
 * }</pre>
 */
public final class ModelUse implements AutoCloseable {
    private final List<Parameter> begun = new ArrayList<>();
    private final Consumer<Parameter> end;

    private ModelUse(Collection<Parameter> parameters, Consumer<Parameter> begin, Consumer<Parameter> end) {
        this.end = end;
        try {
            for (Parameter parameter : parameters) {
                begin.accept(parameter);
                begun.add(parameter);
            }
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /** @throws IllegalStateException if the model is closed, or another thread trains it */
    public static ModelUse inference(Collection<Parameter> parameters) {
        return new ModelUse(parameters, Parameter::beginInference, Parameter::endInference);
    }

    /** @throws IllegalStateException if the model is closed, or another thread trains it or infers with it */
    public static ModelUse training(Collection<Parameter> parameters) {
        return new ModelUse(parameters, Parameter::beginTraining, Parameter::endTraining);
    }

    @Override
    public void close() {
        begun.forEach(end);
        begun.clear();
    }
}
