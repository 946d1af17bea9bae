package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.nanodo.model.Parameter;
import org.nanodo.optim.GroupState;
import org.nanodo.optim.GroupedOptimizer;
import org.nanodo.optim.ParameterGroups;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;

/** A user's own rule, written outside of the library's packages as docs/optimizers.md shows. */
class OwnOptimizerTest {
    /** Gradient descent with momentum. */
    record Sgd(double momentum, ParameterGroups groups) implements GroupedOptimizer<Sgd> {
        @Override
        public Sgd groups(ParameterGroups groups) {
            return new Sgd(momentum, groups);
        }

        @Override
        public State startGroup(List<Parameter> group, double weightDecay, Collectives ranks) {
            return new Velocity(group, weightDecay);
        }

        private final class Velocity extends GroupState {
            private final List<Tensor> velocities = moments("sgd.m");

            Velocity(List<Parameter> group, double weightDecay) {
                super(group, weightDecay);
            }

            @Override
            protected void toUpdates(List<Tensor> gradients, long step, double learningRate, Tensor skip) {
                for (int i = 0; i < gradients.size(); i++) {
                    velocities.get(i).lerp_(gradients.get(i), unlessSkipped(skip, 1 - momentum));
                    gradients.get(i).copy_(velocities.get(i)).mul_(unlessSkipped(skip, learningRate));
                }
            }
        }
    }

    @Test
    void aRuleOfOnesOwn() {
        var decaying = new Parameter("kernel", Tensors.floats(Device.cpu(), new float[] {2}, 1));
        var other = new Parameter("norm", Tensors.floats(Device.cpu(), new float[] {2}, 1));
        Sgd rule = new Sgd(0.5, ParameterGroups.decaying(0.1))
                .decays(name -> !name.equals("norm"))
                .multiplier(name -> name.equals("norm") ? 3 : 1);
        try (var state = rule.start(List.of(decaying, other))) {
            double kernel = 2;
            double norm = 2;
            double velocity = 0;
            for (int step = 1; step <= 4; step++) {
                boolean skip = step == 2;
                for (Parameter p : List.of(decaying, other)) {
                    float gradient = skip ? Float.NaN : 4 * step;
                    p.tensor().mutable_grad().put(Tensors.floats(Device.cpu(), new float[] {gradient}, 1));
                }
                state.update(
                        step,
                        0.01,
                        Tensors.floats(Device.cpu(), new float[] {2}),
                        Tensors.floats(Device.cpu(), new float[] {skip ? 1 : 0}));
                if (!skip) {
                    velocity += 0.5 * (2 * step - velocity);
                    kernel -= 0.01 * 0.1 * kernel + 0.01 * velocity;
                    norm -= 0.03 * velocity;
                }
                assertThat(Tensors.toFloats(decaying.tensor())[0]).isCloseTo((float) kernel, within(1e-6f));
                assertThat(Tensors.toFloats(other.tensor())[0]).isCloseTo((float) norm, within(1e-6f));
            }
            assertThat(state.tensors()).containsOnlyKeys("sgd.m.kernel", "sgd.m.norm");
        }
    }
}
