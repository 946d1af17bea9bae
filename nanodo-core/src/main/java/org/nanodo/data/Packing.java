package org.nanodo.data;

import com.fasterxml.jackson.annotation.JsonProperty;

/** The ways to pack documents into rows. */
public enum Packing {
    /** Documents are concatenated and cut every L tokens, so that no position is wasted (by Noam Shazeer; T5, PaLM). */
    @JsonProperty("noam")
    NOAM,
    /** Each row is one document, truncated or padded to L tokens, as in NanoDO's evaluation. */
    @JsonProperty("padded")
    PADDED
}
