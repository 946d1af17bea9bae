package org.nanodo.config;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;

/** The optional library: a class of its own, so that without it only reading YAML fails. */
final class Yaml {
    private Yaml() {}

    static ObjectMapper parser() {
        return new ObjectMapper(new YAMLFactory());
    }
}
