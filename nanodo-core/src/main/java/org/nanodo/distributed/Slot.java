package org.nanodo.distributed;

import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Storages;
import org.nanodo.runtime.Tensors;

/**
 * A parameter within its unit: its place in the whole, and this rank's part of it.
 *
 * @param start the index of its first element in the whole
 * @param tensor a handle on the parameter's tensor
 * @param leaf the tensor that the model computes with and that autograd gives gradients to: {@code tensor} or, where the
 *     model reads the parameter in another type, its cast
 * @param part this rank's elements, which the optimizer updates
 * @param gradient the sum of {@code part}'s gradients over the ranks; {@code part} refers to it once it is computed
 */
record Slot(Parameter parameter, long start, Tensor tensor, Tensor leaf, Parameter part, Tensor gradient) {
    Tensor in(Tensor whole_WxS) {
        return whole_WxS.narrow(0, start, parameter.numel());
    }

    boolean isCast() {
        return leaf != tensor;
    }

    /** Frees the memory of the parameter. */
    void drop() {
        parameter.absent("the model is sharded, and only Fsdp.gather() makes all of it available");
        Storages.drop(tensor);
        if (isCast()) {
            parameter.release();
            Storages.drop(leaf);
        }
    }

    /** Lets the parameter live in the whole, which is float32 or of the type in which the model reads it. */
    void lend(Tensor whole_WxS) {
        if (Tensors.type(whole_WxS) == Tensors.type(tensor)) {
            Storages.lend(tensor, in(whole_WxS));
            parameter.absent(null);
        } else {
            Storages.lend(leaf, in(whole_WxS));
            leaf.set_requires_grad(parameter.isTrainable());
            parameter.hold(leaf);
            parameter.absent("the model is sharded, and only the tensor that Parameter.as() returns is gathered");
        }
    }

    void close() {
        part.close();
        gradient.close();
        tensor.close();
        if (isCast()) {
            leaf.close();
        }
    }
}
