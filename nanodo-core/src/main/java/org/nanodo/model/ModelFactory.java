package org.nanodo.model;

import java.util.Map;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.TreeMap;
import org.nanodo.runtime.Device;

/**
 * Makes models of one kind, which saved models and checkpoints call by its name. Those that a jar lists in {@code
 * META-INF/services/org.nanodo.model.ModelFactory} are found: a public class with a constructor without parameters.
 */
public interface ModelFactory {
    /** What {@code config.json} calls it. */
    String name();

    /**
     * A model of these sizes, in all else as is usual for its kind.
     *
     * @param parameters asked for each when it is first used, not before
     */
    LanguageModel create(TransformerConfig sizes, Device device, Init.Source parameters);

    /**
     * A model of a config of its own.
     *
     * @param config the JSON of {@link ModelSpec#config}
     * @throws IllegalArgumentException if it is no valid config
     */
    LanguageModel create(String config, Device device, Init.Source parameters);

    /** A new model. The same seed gives the same parameters on every device. */
    default LanguageModel create(TransformerConfig sizes, long seed, Device device) {
        return create(sizes, device, Init.seeded(seed, device));
    }

    default LanguageModel create(String config, long seed, Device device) {
        return create(config, device, Init.seeded(seed, device));
    }

    /** @throws IllegalArgumentException if there is none of that name */
    static ModelFactory named(String name) {
        ModelFactory factory = all().get(name);
        if (factory == null) {
            throw new IllegalArgumentException(
                    "There is no model \"" + name + "\", but " + String.join(", ", names()) + ": is its jar missing?");
        }
        return factory;
    }

    /** Of all kinds that there are, sorted. */
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
