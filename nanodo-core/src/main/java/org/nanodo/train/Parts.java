package org.nanodo.train;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.checkpoint.Slice;

/** Several states, each of parameters of its own. */
record Parts(List<Part> parts) implements Optimizer.State {
    /** @param multiplier of the learning rate */
    record Part(Optimizer.State state, double multiplier) {}

    @Override
    public void update(long step, double learningRate, Tensor gradScale, Tensor skip) {
        for (Part part : parts) {
            part.state.update(step, learningRate * part.multiplier, gradScale, skip);
        }
    }

    @Override
    public Map<String, Slice> tensors() {
        var all = new LinkedHashMap<String, Slice>();
        parts.forEach(part -> all.putAll(part.state.tensors()));
        return all;
    }

    @Override
    public void close() {
        parts.forEach(part -> part.state.close());
    }
}
