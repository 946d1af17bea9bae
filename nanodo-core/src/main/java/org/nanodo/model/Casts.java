package org.nanodo.model;

import java.util.ArrayList;
import java.util.List;

/** Parameters in the type of the computation, cast once and held until this is closed: they must not change in between. */
public final class Casts implements AutoCloseable {
    private final List<Parameter> held = new ArrayList<>();

    private Casts() {}

    /** Holds what a model reads in another type than float32. */
    public static Casts of(LanguageModel model) {
        var casts = new Casts();
        try {
            for (Parameter parameter : model.parameters()) {
                parameter.hold(parameter == model.outEmbed() ? Head.dtype(model) : parameter.dtype());
                casts.held.add(parameter);
            }
        } catch (RuntimeException e) {
            casts.close();
            throw e;
        }
        return casts;
    }

    @Override
    public void close() {
        held.forEach(Parameter::release);
        held.clear();
    }
}
