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
 * A model but for its vocabulary, which is the tokenizer's.
 *
 * @param kind the name of its {@link org.nanodo.model.ModelFactory}
 * @param options what that kind's own config has besides the sizes: {@code kvHeads} of a llama, say
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
        Check.given("model.kind", kind, "model.dtype", dtype, "model.options", options);
        options = Collections.unmodifiableMap(new LinkedHashMap<>(options));
    }

    static ModelConfig defaults() {
        return new ModelConfig(DecoderModel.NAME, 512, 8, 512, 6, 2048, Dtype.BFLOAT16, false, Map.of());
    }

    /** @throws IllegalArgumentException if there is no such model, or none of these sizes and options */
    LanguageModel create(int V, long seed, Device device) {
        TransformerConfig sizes = new TransformerConfig(D, H, L, N, V, F, dtype, remat);
        ModelFactory factory = ModelFactory.named(kind);
        if (options.isEmpty()) {
            return factory.create(sizes, seed, device);
        }
        Check.that(
                !kind.equals(DecoderModel.NAME),
                "model.options " + options.keySet() + ": the model \"" + kind + "\" has none but its sizes");
        var config = new LinkedHashMap<String, Object>(options);
        config.put("sizes", sizes);
        return factory.create(Json.write(config), seed, device);
    }
}
