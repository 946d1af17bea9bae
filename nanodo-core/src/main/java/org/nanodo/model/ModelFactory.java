package org.nanodo.model;

import java.util.Map;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import org.nanodo.files.Json;
import org.nanodo.runtime.Device;

/**
 * Creates models of one kind, which saved models and checkpoints refer to by its name. Factories are found if a file {@code
 * META-INF/services/org.nanodo.model.ModelFactory} on the class path names them. They are public and have a public constructor
 * without parameters.
 *
 * @param <C> the config of this kind of model
 */
public abstract class ModelFactory<C> {
    private final String name;
    private final Class<C> type;
    private final Function<TransformerConfig, C> defaults;
    private final Constructor<C> constructor;

    /** A model's constructor. */
    @FunctionalInterface
    public interface Constructor<C> {
        /** @param source provides each parameter's values when the parameter is first used */
        LanguageModel create(C config, Device device, Init.Source source);
    }

    /**
     * @param name of this kind of model in {@code config.json}
     * @param type of its config, which is read from JSON
     * @param defaults returns its default config for the given sizes
     */
    protected ModelFactory(
            String name, Class<C> type, Function<TransformerConfig, C> defaults, Constructor<C> constructor) {
        this.name = name;
        this.type = type;
        this.defaults = defaults;
        this.constructor = constructor;
    }

    /** Creates a model of the given sizes, with the defaults of its kind. */
    public final LanguageModel create(TransformerConfig sizes, Device device, Init.Source source) {
        return constructor.create(defaults.apply(sizes), device, source);
    }

    /**
     * Creates a model from its own config.
     *
     * @param config the JSON of {@link ModelSpec#config}
     * @throws IllegalArgumentException if the config is invalid
     */
    public final LanguageModel create(String config, Device device, Init.Source source) {
        return constructor.create(Json.read(config, type), device, source);
    }

    /** Creates a new model. The same seed gives the same parameters on every device. */
    public final LanguageModel create(TransformerConfig sizes, long seed, Device device) {
        return create(sizes, device, Init.seeded(seed, device));
    }

    public final LanguageModel create(String config, long seed, Device device) {
        return create(config, device, Init.seeded(seed, device));
    }

    /** @throws IllegalArgumentException if no factory has the name */
    public static ModelFactory<?> named(String name) {
        ModelFactory<?> factory = all().get(name);
        if (factory == null) {
            throw new IllegalArgumentException(
                    "There is no model \"" + name + "\" on the class path; known are " + String.join(", ", names()));
        }
        return factory;
    }

    /** Returns the names of all kinds of models, sorted. */
    public static Set<String> names() {
        return all().keySet();
    }

    private static Map<String, ModelFactory<?>> all() {
        var all = new TreeMap<String, ModelFactory<?>>();
        all.put(DecoderModel.NAME, new DecoderModel.Factory());
        for (ModelFactory<?> factory : ServiceLoader.load(ModelFactory.class)) {
            ModelFactory<?> other = all.putIfAbsent(factory.name, factory);
            if (other != null) {
                throw new IllegalStateException("Two models are called \"" + factory.name + "\": "
                        + other.getClass().getName() + " and "
                        + factory.getClass().getName());
            }
        }
        return all;
    }
}
