package org.nanodo.distributed;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;

/**
 * What this rank has of a parameter.
 *
 * @param part which the optimizer updates
 * @param gradient the sum over the ranks; {@code part} has it once there is one
 */
record Shard(Parameter part, Tensor gradient) {
    void close() {
        part.close();
        gradient.close();
    }
}
