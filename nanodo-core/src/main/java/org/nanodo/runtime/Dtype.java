package org.nanodo.runtime;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The type a model computes in. Parameters, optimizer state, softmax and loss are float32 whatever this is. */
public enum Dtype {
    @JsonProperty("float32")
    FLOAT32(ScalarType.Float),
    @JsonProperty("bfloat16")
    BFLOAT16(ScalarType.BFloat16);

    private final ScalarType scalarType;

    Dtype(ScalarType scalarType) {
        this.scalarType = scalarType;
    }

    public ScalarType scalarType() {
        return scalarType;
    }
}
