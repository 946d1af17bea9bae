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
 * Everything that defines a model except the values of its parameters: the content of {@code config.json}.
 *
 * @param model the name of its {@link ModelFactory}
 * @param config the config of that kind of model: its own record, or its JSON
 */
public record ModelSpec(String model, Object config) {
    private static final String MODEL = "model";

    /** Reads a file; one that names no model describes a {@link DecoderModel}. */
    static ModelSpec read(Path file) throws IOException {
        ObjectNode config = Json.read(file, ObjectNode.class);
        JsonNode name = config.remove(MODEL);
        return new ModelSpec(name == null ? DecoderModel.NAME : name.asText(), config);
    }

    /** Returns the name and the fields of the config. */
    ObjectNode json() {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put(MODEL, model);
        return json.setAll(Json.read(Json.write(config), ObjectNode.class));
    }

    /** Returns the fields that determine the parameters: all except the type of the computation and recomputation. */
    ObjectNode sizes() {
        ObjectNode json = json();
        json.findParents("remat").forEach(parent -> ((ObjectNode) parent).remove(List.of("dtype", "remat")));
        return json;
    }

    /** @throws IllegalArgumentException if there is no such kind of model, or the config is invalid */
    LanguageModel create(Device device, Init.Source parameters) {
        return ModelFactory.named(model).create(Json.write(config), device, parameters);
    }
}
