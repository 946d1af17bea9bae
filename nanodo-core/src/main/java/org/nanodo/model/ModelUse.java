package org.nanodo.model;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.function.Consumer;

/**
 * A period in which parameters are used. Any number of inferences may run at once, on any threads. Training excludes them,
 * except for those on the training thread itself. A model that is closed during a use frees its memory when the last use ends.
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

    /** @throws IllegalStateException if the model is closed, or another thread is training it */
    public static ModelUse inference(Collection<Parameter> parameters) {
        return new ModelUse(parameters, parameter -> parameter.begin(false), parameter -> parameter.end(false));
    }

    /** @throws IllegalStateException if the model is closed, or another thread is training it or inferring with it */
    public static ModelUse training(Collection<Parameter> parameters) {
        return new ModelUse(parameters, parameter -> parameter.begin(true), parameter -> parameter.end(true));
    }

    /** Casts the parameters once to the types in which the model reads them; their values must not change until the end. */
    public static ModelUse casts(LanguageModel model) {
        return new ModelUse(
                model.parameters(),
                parameter -> parameter.hold(
                        model instanceof BlockModel blocks && parameter == blocks.outEmbed()
                                ? Head.dtype(model)
                                : parameter.dtype()),
                Parameter::release);
    }

    @Override
    public void close() {
        begun.forEach(end);
        begun.clear();
    }
}
