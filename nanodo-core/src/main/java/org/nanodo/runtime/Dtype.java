package org.nanodo.runtime;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The type a model computes in. Parameters, optimizer state, softmax, logits and loss are float32 whatever this is. */
public enum Dtype {
    @JsonProperty("float32")
    FLOAT32(ScalarType.Float),

    /** As NanoDO has it: the head multiplies float32 values. */
    @JsonProperty("bfloat16")
    BFLOAT16(ScalarType.BFloat16),

    /** The head multiplies bfloat16 values, too: faster, and further from float32. */
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
