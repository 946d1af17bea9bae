package org.nanodo.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nanodo.files.Json;
import org.nanodo.runtime.Dtype;

class TransformerConfigTest {
    private static final TransformerConfig CONFIG = TransformerConfig.builder()
            .D(64)
            .H(4)
            .L(32)
            .N(2)
            .V(259)
            .F(256)
            .dtype(Dtype.BFLOAT16)
            .remat(true)
            .build();

    @Test
    void jsonBothWays() {
        assertThat(Json.write(CONFIG)).contains("\"D\" : 64").contains("\"dtype\" : \"bfloat16\"");
        assertThat(Json.read(Json.write(CONFIG), TransformerConfig.class)).isEqualTo(CONFIG);
        assertThat(Json.read("{\"D\":8,\"H\":2,\"L\":4,\"N\":1,\"V\":10,\"F\":16}", TransformerConfig.class)
                        .dtype())
                .isEqualTo(Dtype.FLOAT32);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"D\":10,\"H\":3,\"L\":4,\"N\":1,\"V\":10,\"F\":16}|D=10 is not divisible by H=3",
                "{\"D\":8,\"H\":2,\"L\":0,\"N\":1,\"V\":10,\"F\":16}|L (context length) is 0",
                "{\"D\":8,\"H\":2,\"L\":4,\"N\":1,\"V\":10}|'F'",
                "{\"D\":8,\"H\":2,\"L\":4,\"N\":1,\"V\":10,\"F\":16,\"dropout\":1}|\"dropout\"",
                "{\"D\":8,\"H\":2,\"L\":4,\"N\":1,\"V\":10,\"F\":\"16\"}|String",
                "{\"D\":8,\"H\":2,\"L\":4,\"N\":1,\"V\":10,\"F\":16,\"dtype\":\"float64\"}|float64",
                "D=8|Not a valid TransformerConfig",
            })
    void badJsonIsNamed(String json, String message) {
        assertThatThrownBy(() -> Json.read(json, TransformerConfig.class))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(message);
    }

    @Test
    void aVocabularyHasToBeNamed() {
        assertThatThrownBy(() -> TransformerConfig.builder().build()).hasMessageContaining("V (vocabulary size) is 0");
    }
}
