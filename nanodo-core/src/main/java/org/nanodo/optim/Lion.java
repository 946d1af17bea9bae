package org.nanodo.optim;

import java.util.List;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Operator;

/**
 * Lion (Chen et al. 2023), whose update is the sign of a momentum. The momentum is all its state, half of AdamW's. Every number
 * moves by the learning rate, which must be 3 to 10 times smaller than AdamW's, and the weight decay as many times larger.
 *
 * @param b1 weight of the momentum in an update; the gradient has the rest
 * @param b2 decay of the momentum
 */
public record Lion(double b1, double b2, ParameterGroups groups) implements GroupedOptimizer<Lion> {
    public Lion {
        if (!(b1 >= 0 && b1 < 1 && b2 > 0 && b2 < 1)) {
            throw new IllegalArgumentException("Lion requires 0 ≤ b1 < 1 and 0 < b2 < 1, not b1=" + b1 + " b2=" + b2);
        }
    }

    /** Returns Lion with NanoDO's b1 0.9 and b2 0.98; weight decay 1 on every parameter. */
    public static Lion with() {
        return new Lion(0.9, 0.98, ParameterGroups.decaying(1));
    }

    public Lion b1(double b1) {
        return new Lion(b1, b2, groups);
    }

    public Lion b2(double b2) {
        return new Lion(b1, b2, groups);
    }

    @Override
    public Lion groups(ParameterGroups groups) {
        return new Lion(b1, b2, groups);
    }

    @Override
    public State startGroup(List<Parameter> group, double weightDecay, Collectives ranks) {
        return new Momentum(group, weightDecay);
    }

    private final class Momentum extends GroupState {
        private static final Operator scale = Operator.find("aten::_foreach_mul_", "Scalar");
        private static final Operator add = Operator.find("aten::_foreach_add_", "List");
        private static final Operator sign = Operator.find("aten::_foreach_sign_", "");

        private final IValue momenta;

        Momentum(List<Parameter> parameters, double weightDecay) {
            super(parameters, weightDecay);
            momenta = list(moments("lion.m"));
        }

        /**
         * The update is the sign of b1·m + (1 − b1)·g, m being the old momentum. With the new momentum m′ = b2·m + (1 − b2)·g
         * it is a positive multiple of b1·m′ + (b2 − b1)·g, which needs no memory besides the gradient's own.
         */
        @Override
        protected void toUpdates(List<Tensor> gradients, long step, double learningRate, Tensor skip) {
            IValue updates = Operator.list(gradients);
            multiply.call(momenta, new IValue(oneMinus(unlessSkipped(skip, 1 - b2))));
            add.call(momenta, updates, new IValue(1 - b2));
            scale.call(updates, new IValue(b2 - b1));
            add.call(updates, momenta, new IValue(b1));
            sign.call(updates);
            multiply.call(updates, new IValue(unlessSkipped(skip, learningRate)));
        }
    }
}
