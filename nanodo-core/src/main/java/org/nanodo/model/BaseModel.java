package org.nanodo.model;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;

/**
 * A base class for models: it registers parameters in the order of their creation, as PyTorch's {@code nn.Module} does. Most
 * models are {@link BlockModel}s, which an engine can recompute and shard block by block; a model that extends this class
 * directly is one autograd graph and answers only {@link #forward}.
 */
public abstract class BaseModel implements LanguageModel {
    protected final TransformerConfig config;
    protected final Device device;
    private final ModelSpec spec;
    private final Init.Source source;
    private final List<Parameter> parameters = new ArrayList<>();

    /** @param source provides each parameter's values when the parameter is first used */
    protected BaseModel(ModelSpec spec, TransformerConfig config, Device device, Init.Source source) {
        this.spec = spec;
        this.config = config;
        this.device = device;
        this.source = source;
    }

    /** Adds a parameter that is read in float32. */
    protected final Parameter parameter(String name, Init init, long... shape) {
        return parameter(name, Dtype.FLOAT32, init, shape);
    }

    /** Adds a parameter that is only read as {@code as(config.dtype())}, in the type of the computation. */
    protected final Parameter kernel(String name, Init init, long... shape) {
        return parameter(name, config.dtype(), init, shape);
    }

    private Parameter parameter(String name, Dtype dtype, Init init, long... shape) {
        var parameter = new Parameter(name, shape, dtype, () -> source.get(name, init, shape));
        parameters.add(parameter);
        return parameter;
    }

    @Override
    public final TransformerConfig config() {
        return config;
    }

    @Override
    public final ModelSpec spec() {
        return spec;
    }

    @Override
    public final Device device() {
        return device;
    }

    @Override
    public List<Parameter> parameters() {
        return Collections.unmodifiableList(parameters);
    }
}
