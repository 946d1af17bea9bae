package org.nanodo.data;

import com.fasterxml.jackson.annotation.JsonProperty;

/** How documents become rows. */
public enum Packing {
    /** Laid end to end and cut every L tokens, so that no position is wasted (Shazeer's, as in T5 and PaLM). */
    @JsonProperty("noam")
    NOAM,
    /** One document a row, cut off after L tokens or filled up with padding: NanoDO's way to evaluate. */
    @JsonProperty("padded")
    PADDED
}
