package org.nanodo.runtime;

import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.GenericList;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorType;
import org.bytedeco.pytorch.Type;

/** A LibTorch operator found by its name, for those that the bindings omit: all whose names start with an underscore. */
public final class Operator {
    private final OperatorHandle handle;

    private Operator(OperatorHandle handle) {
        this.handle = handle;
    }

    /** @param overload the name of the overload; empty for an operator without overloads, such as {@code aten::_fused_adamw_} */
    public static Operator find(String name, String overload) {
        Natives.start();
        return new Operator(Scope.keep(Dispatcher.singleton().findSchemaOrThrow(name, overload)));
    }

    /** Calls the operator and returns its results. */
    public IValueVector call(IValue... arguments) {
        var stack = new IValueVector(arguments);
        handle.callBoxed(stack);
        return stack;
    }

    /** Returns an argument of type {@code Tensor[]}, which shares the tensors. */
    public static IValue list(Iterable<Tensor> tensors) {
        var list = new GenericList(new Type.TypePtr(TensorType.get()));
        for (Tensor tensor : tensors) {
            list.push_back(new IValue(tensor));
        }
        return new IValue(list);
    }

    /** Returns the value of an optional argument that is omitted. */
    public static IValue none() {
        return new IValue();
    }
}
