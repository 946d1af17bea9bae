package org.nanodo.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.nanodo.files.Json;
import org.nanodo.runtime.Device;

/**
 * All that a model is made of but its parameters, as {@code config.json} has it.
 *
 * @param model the name of its {@link ModelFactory}
 * @param config what that factory takes: a record of the model's own, or its JSON
 */
public record ModelSpec(String model, Object config) {
    private static final String MODEL = "model";

    /** A file that names no model is of a {@link DecoderModel}. */
    static ModelSpec read(Path file) throws IOException {
        ObjectNode config = Json.read(file, ObjectNode.class);
        JsonNode name = config.remove(MODEL);
        return new ModelSpec(name == null ? DecoderModel.NAME : name.asText(), config);
    }

    /** The config's fields after the name. */
    ObjectNode json() {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put(MODEL, model);
        return json.setAll(Json.read(Json.write(config), ObjectNode.class));
    }

    /** What decides which parameters fit: all but the type of the computation and what is recomputed. */
    ObjectNode sizes() {
        ObjectNode json = json();
        json.findParents("remat").forEach(parent -> ((ObjectNode) parent).remove(List.of("dtype", "remat")));
        return json;
    }

    /** @throws IllegalArgumentException if there is no such model, or none of that config */
    LanguageModel create(Device device, Init.Source parameters) {
        return ModelFactory.named(model).create(Json.write(config), device, parameters);
    }
}
