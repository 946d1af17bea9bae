package org.nanodo.runtime;

import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.GenericList;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorType;
import org.bytedeco.pytorch.Type;

/** A LibTorch operator found by name, for those that the bindings leave out: all that start with an underscore. */
public final class Operator {
    private final OperatorHandle handle;

    private Operator(OperatorHandle handle) {
        this.handle = handle;
    }

    /** Finds, say, {@code aten::_fused_adamw_}, which has no overloads: their name is then empty. */
    public static Operator find(String name, String overload) {
        Natives.start();
        return new Operator(Scope.keep(Dispatcher.singleton().findSchemaOrThrow(name, overload)));
    }

    /** Calls it; the vector returned holds the results. */
    public IValueVector call(IValue... arguments) {
        var stack = new IValueVector(arguments);
        handle.callBoxed(stack);
        return stack;
    }

    /** An argument of type {@code Tensor[]}. The list shares the tensors, it copies nothing. */
    public static IValue list(Iterable<Tensor> tensors) {
        var list = new GenericList(new Type.TypePtr(TensorType.get()));
        for (Tensor tensor : tensors) {
            list.push_back(new IValue(tensor));
        }
        return new IValue(list);
    }

    /** An argument left out. */
    public static IValue none() {
        return new IValue();
    }
}
