package org.nanodo.distributed;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Storages;
import org.nanodo.runtime.Tensors;

/**
 * Where a parameter is in the whole of its unit.
 *
 * @param start its first element
 * @param tensor a handle on the parameter's
 * @param leaf what the model computes with, where autograd leaves gradients: the tensor, or its cast to the type that the
 *     model reads it in
 */
record Slot(Parameter parameter, long start, Tensor tensor, Tensor leaf) {
    Tensor in(Tensor whole_WxS) {
        return whole_WxS.narrow(0, start, parameter.numel());
    }

    boolean isCast() {
        return leaf != tensor;
    }

    /** Takes the memory away. */
    void drop() {
        parameter.absent("the model is sharded, and only Fsdp.gather() brings all of it together");
        Storages.drop(tensor);
        if (isCast()) {
            parameter.release();
            Storages.drop(leaf);
        }
    }

    /** Puts the parameter into the whole, which is float32 or of the type that the model reads it in. */
    void lend(Tensor whole_WxS) {
        if (Tensors.type(whole_WxS) == Tensors.type(tensor)) {
            Storages.lend(tensor, in(whole_WxS));
            parameter.absent(null);
        } else {
            Storages.lend(leaf, in(whole_WxS));
            parameter.hold(leaf);
            parameter.absent("the model is sharded, and gathers of it only what Parameter.as() returns");
        }
    }

    void close() {
        tensor.close();
        if (isCast()) {
            leaf.close();
        }
    }
}
