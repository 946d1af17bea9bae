package org.nanodo.optim;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.checkpoint.Slice;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Operator;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * The state of a rule for one group of parameters, and the parts of an update that rules share. A rule overrides
 * {@link #toUpdates}, or {@link #apply} if its kernel does all of an update by itself; without either it is gradient descent.
 */
public class GroupState implements Optimizer.State {
    static final Operator multiply = Operator.find("aten::_foreach_mul_", "Tensor");
    private static final Operator divide = Operator.find("aten::_foreach_div_", "Tensor");
    private static final Operator subtract = Operator.find("aten::_foreach_sub_", "List");

    private final List<Parameter> parameters;
    private final double weightDecay;
    private final IValue values;
    private final Map<String, Slice> tensors = new LinkedHashMap<>();
    private final List<Pointer> owned = new ArrayList<>();

    public GroupState(List<Parameter> parameters, double weightDecay) {
        this.parameters = List.copyOf(parameters);
        this.weightDecay = weightDecay;
        values = list(parameters.stream().map(Parameter::tensor).toList());
    }

    @Override
    public final void update(long step, double learningRate, Tensor gradScale, Tensor skip) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            apply(step, learningRate, gradScale, skip);
        }
    }

    /**
     * Makes an update, in a scope of its own and without autograd: divides the gradients by their scale, turns them into
     * updates, and subtracts these and the weight decay from the parameters.
     */
    protected void apply(long step, double learningRate, Tensor gradScale, Tensor skip) {
        List<Tensor> gradients = gradients();
        IValue updates = Operator.list(gradients);
        divide.call(updates, new IValue(gradScale));
        Tensor skipped = skip.ne(new Scalar(0));
        gradients.forEach(g -> g.masked_fill_(skipped, new Scalar(0))); // multiplying by 0 would keep NaN
        toUpdates(gradients, step, learningRate, skip);
        if (weightDecay > 0) {
            multiply.call(values, new IValue(oneMinus(unlessSkipped(skip, learningRate * weightDecay))));
        }
        subtract.call(values, updates, new IValue(1));
    }

    /**
     * Turns gradients, in place, into the updates that are subtracted from the parameters. At a skipped step the gradients are
     * 0, no moment may change, and the updates must be 0 as well, without waiting for the device: {@link #unlessSkipped} helps.
     *
     * @param gradients in the order of the parameters
     */
    protected void toUpdates(List<Tensor> gradients, long step, double learningRate, Tensor skip) {
        gradients.forEach(g -> g.mul_(new Scalar(learningRate)));
    }

    /** Returns this number on the device, or 0 at a skipped step. */
    protected static Tensor unlessSkipped(Tensor skip, double number) {
        return oneMinus(skip).mul_(new Scalar(number));
    }

    /** Returns 1 minus a number on the device. */
    protected static Tensor oneMinus(Tensor number) {
        return number.neg().add_(new Scalar(1));
    }

    protected final List<Parameter> parameters() {
        return parameters;
    }

    protected final double weightDecay() {
        return weightDecay;
    }

    /** Returns the parameters' tensors as an argument of an operator. */
    protected final IValue values() {
        return values;
    }

    /** Returns the gradients in the order of the parameters. */
    protected final List<Tensor> gradients() {
        return parameters.stream().map(Parameter::gradient).toList();
    }

    /**
     * Creates zeros in the shape of this rank's slice of a parameter. A checkpoint stores them as {@code kind.name}; the kind
     * must be this rule's alone, so that no rule accepts another's checkpoint.
     */
    protected final Tensor moment(String kind, Parameter parameter) {
        Tensor zeros = own(parameter.tensor().new_zeros(parameter.shape()));
        tensors.put(kind + "." + parameter.name(), parameter.slice().with(zeros));
        return zeros;
    }

    /** Creates a moment of this kind for each parameter. */
    protected final List<Tensor> moments(String kind) {
        return parameters.stream().map(p -> moment(kind, p)).toList();
    }

    /** Creates zeros of any shape, which every rank holds whole and must change in the same way. */
    protected final Tensor statistic(String kind, Parameter parameter, long... shape) {
        Tensor zeros = own(parameter.tensor().new_zeros(shape));
        tensors.put(kind + "." + parameter.name(), Slice.all(zeros));
        return zeros;
    }

    /** Creates a list of tensors that is an argument of every update. */
    protected final IValue list(List<Tensor> tensors) {
        try (var scope = Scope.open()) {
            return own(Operator.list(tensors));
        }
    }

    /** Takes a native object out of all scopes; it is freed when this state is closed. */
    protected final <P extends Pointer> P own(P pointer) {
        owned.add(pointer);
        return Scope.keep(pointer);
    }

    /** Returns the number of elements of the whole parameter, of which this rank may hold a slice. */
    protected static long wholeNumel(Parameter parameter) {
        return Arrays.stream(parameter.slice().shape()).reduce(1, (a, b) -> a * b);
    }

    /**
     * Checks that the slices of all ranks add up to the parameters: if they do not, sums over the ranks are silently wrong. All
     * ranks call it.
     *
     * @throws IllegalArgumentException on all ranks, if they hold more or fewer elements of a parameter than it has
     */
    protected static void checkDivided(List<Parameter> parameters, Collectives ranks) {
        try (var scope = Scope.open()) {
            double[] mine = parameters.stream().mapToDouble(Parameter::numel).toArray();
            Tensor counts_P = Tensors.doubles(Device.cpu(), mine, mine.length)
                    .to(parameters.get(0).tensor().device(), ScalarType.Double);
            ranks.allReduce(counts_P).await();
            double[] counts = Tensors.toDoubles(counts_P);
            for (int i = 0; i < counts.length; i++) {
                Parameter p = parameters.get(i);
                if (counts[i] != wholeNumel(p)) {
                    throw new IllegalArgumentException(p.name() + " has " + wholeNumel(p) + " elements, but the "
                            + ranks.world() + " rank(s) that the rule was started with hold " + (long) counts[i]
                            + ": start it with the ranks that the parameters are divided between, or with none if "
                            + "this process holds all of them");
                }
            }
        }
    }

    @Override
    public final Map<String, Slice> tensors() {
        return Collections.unmodifiableMap(tensors);
    }

    @Override
    public final void close() {
        owned.forEach(Pointer::close);
    }
}
