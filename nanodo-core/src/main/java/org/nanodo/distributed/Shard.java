package org.nanodo.distributed;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;

/**
 * This rank's part of a parameter: neighbouring elements in row-major order, as one dimension.
 *
 * @param whole the model's parameter
 * @param start the first element
 * @param part of the same name, which the optimizer updates
 * @param gradient the sum over the ranks; {@code part} has it once there is one
 */
public record Shard(Parameter whole, long start, Parameter part, Tensor gradient) {
    void close() {
        part.close();
        gradient.close();
    }
}
