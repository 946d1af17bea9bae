package org.nanodo.runtime;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The type in which a model computes. Parameters, optimizer state, softmax, logits and loss are float32 in any case. */
public enum Dtype {
    @JsonProperty("float32")
    FLOAT32(ScalarType.Float),

    /** Like NanoDO: the head multiplies float32 values. */
    @JsonProperty("bfloat16")
    BFLOAT16(ScalarType.BFloat16),

    /** The head multiplies bfloat16 values too, which is faster but further from float32. */
    @JsonProperty("bfloat16_head")
    BFLOAT16_HEAD(ScalarType.BFloat16);

    private final ScalarType scalarType;

    Dtype(ScalarType scalarType) {
        this.scalarType = scalarType;
    }

    public ScalarType scalarType() {
        return scalarType;
    }
}
