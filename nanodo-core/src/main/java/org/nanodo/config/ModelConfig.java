package org.nanodo.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.nanodo.files.Json;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;

/**
 * A model without the size of its vocabulary, which depends on the tokenizer.
 *
 * @param kind the name of its {@link ModelFactory}
 * @param options the fields of that kind's own config besides the sizes, for example {@code kvHeads} of a llama
 */
public record ModelConfig(
        String kind,
        @JsonProperty("D") int D,
        @JsonProperty("H") int H,
        @JsonProperty("L") int L,
        @JsonProperty("N") int N,
        @JsonProperty("F") int F,
        Dtype dtype,
        boolean remat,
        Map<String, Object> options) {
    public ModelConfig {
        options = Collections.unmodifiableMap(new LinkedHashMap<>(options));
    }

    /** @throws IllegalArgumentException if there is no such kind of model, or it does not allow these sizes and options */
    LanguageModel create(int V, long seed, Device device) {
        TransformerConfig sizes = TransformerConfig.builder()
                .D(D)
                .H(H)
                .L(L)
                .N(N)
                .V(V)
                .F(F)
                .dtype(dtype)
                .remat(remat)
                .build();
        ModelFactory<?> factory = ModelFactory.named(kind);
        if (options.isEmpty()) {
            return factory.create(sizes, seed, device);
        }
        Check.that(
                !kind.equals(DecoderModel.NAME),
                "model.options " + options.keySet() + ": the model \"" + kind + "\" has no options");
        var config = new LinkedHashMap<String, Object>(options);
        config.put("sizes", sizes);
        return factory.create(Json.write(config), seed, device);
    }
}
