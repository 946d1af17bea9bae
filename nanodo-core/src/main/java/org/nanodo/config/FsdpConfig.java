package org.nanodo.config;

import org.nanodo.distributed.Fsdp;
import org.nanodo.runtime.Collectives;

/** How several ranks shard the model; {@link Fsdp.Options} describes the components. */
public record FsdpConfig(boolean reshardAfterForward, boolean prefetch, boolean reduceEachBatch) {
    Fsdp.Options of(Collectives ranks) {
        return Fsdp.of(ranks)
                .reshardAfterForward(reshardAfterForward)
                .prefetch(prefetch)
                .reduceEachBatch(reduceEachBatch);
    }
}
