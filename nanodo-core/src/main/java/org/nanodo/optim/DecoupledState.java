package org.nanodo.optim;

import java.util.List;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Operator;

/**
 * The state of a rule without a fused kernel: the rule makes updates of gradients, and the rest is done here. Gradients arrive
 * divided by their scale; parameters lose the updates and, besides them, their decay.
 */
public abstract class DecoupledState extends GroupState {
    static final Operator multiply = Operator.find("aten::_foreach_mul_", "Tensor");
    private static final Operator divide = Operator.find("aten::_foreach_div_", "Tensor");
    private static final Operator subtract = Operator.find("aten::_foreach_sub_", "List");

    private final double weightDecay;
    private final IValue values;

    protected DecoupledState(List<Parameter> parameters, double weightDecay) {
        super(parameters);
        this.weightDecay = weightDecay;
        values = list(parameters.stream().map(Parameter::tensor).toList());
    }

    /**
     * Turns gradients, in place, into what the parameters lose. At a step to be skipped the gradients are 0, no moment may change,
     * and the updates have to be 0 as well: {@link #unlessSkipped} makes it so without waiting for the device.
     *
     * @param gradients in the order of the parameters
     */
    protected abstract void toUpdates(List<Tensor> gradients, long step, double learningRate, Tensor skip);

    @Override
    protected final void apply(long step, double learningRate, Tensor gradScale, Tensor skip) {
        List<Tensor> gradients = gradients();
        IValue updates = Operator.list(gradients);
        divide.call(updates, new IValue(gradScale));
        Tensor skipped = skip.ne(new Scalar(0));
        gradients.forEach(g -> g.masked_fill_(skipped, new Scalar(0))); // not times 0: they may be anything
        toUpdates(gradients, step, learningRate, skip);
        if (weightDecay > 0) {
            multiply.call(values, new IValue(oneMinus(unlessSkipped(skip, learningRate * weightDecay))));
        }
        subtract.call(values, updates, new IValue(1));
    }

    /** This number on the device, or 0 at a step to be skipped. */
    protected static Tensor unlessSkipped(Tensor skip, double number) {
        return oneMinus(skip).mul_(new Scalar(number));
    }

    /** 1 less a number on the device. */
    protected static Tensor oneMinus(Tensor number) {
        return number.neg().add_(new Scalar(1));
    }
}
