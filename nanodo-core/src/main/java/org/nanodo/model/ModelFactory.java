package org.nanodo.model;

import java.util.Map;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.TreeMap;
import org.nanodo.runtime.Device;

/**
 * Creates models of one kind, which saved models and checkpoints refer to by its name. Factories are found if a file {@code
 * META-INF/services/org.nanodo.model.ModelFactory} on the class path names them. They are public and have a public constructor
 * without parameters.
 */
public interface ModelFactory {
    /** Returns the name of this kind of model in {@code config.json}. */
    String name();

    /**
     * Creates a model of the given sizes, with the defaults of its kind.
     *
     * @param parameters provides each parameter's values when the parameter is first used
     */
    LanguageModel create(TransformerConfig sizes, Device device, Init.Source parameters);

    /**
     * Creates a model from its own config.
     *
     * @param config the JSON of {@link ModelSpec#config}
     * @throws IllegalArgumentException if the config is invalid
     */
    LanguageModel create(String config, Device device, Init.Source parameters);

    /** Creates a new model. The same seed gives the same parameters on every device. */
    default LanguageModel create(TransformerConfig sizes, long seed, Device device) {
        return create(sizes, device, Init.seeded(seed, device));
    }

    default LanguageModel create(String config, long seed, Device device) {
        return create(config, device, Init.seeded(seed, device));
    }

    /** @throws IllegalArgumentException if no factory has the name */
    static ModelFactory named(String name) {
        ModelFactory factory = all().get(name);
        if (factory == null) {
            throw new IllegalArgumentException(
                    "There is no model \"" + name + "\", but " + String.join(", ", names()) + ": is its jar missing?");
        }
        return factory;
    }

    /** Returns the names of all kinds of models, sorted. */
    static Set<String> names() {
        return all().keySet();
    }

    private static Map<String, ModelFactory> all() {
        var all = new TreeMap<String, ModelFactory>();
        all.put(DecoderModel.NAME, new DecoderModel.Factory());
        for (ModelFactory factory : ServiceLoader.load(ModelFactory.class)) {
            ModelFactory other = all.putIfAbsent(factory.name(), factory);
            if (other != null) {
                throw new IllegalStateException("Two models are called \"" + factory.name() + "\": "
                        + other.getClass().getName() + " and "
                        + factory.getClass().getName());
            }
        }
        return all;
    }
}
