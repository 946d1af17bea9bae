package org.nanodo.distributed;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Storages;

/**
 * Where a parameter is in the whole of its unit.
 *
 * @param tensor a handle on the parameter's
 * @param start its first element
 * @param cast the leaf that stands for it in a computation of another type; null in a float32 model
 */
record Place(Parameter parameter, Tensor tensor, long start, Tensor cast) {
    Tensor in(Tensor whole_WxS) {
        return whole_WxS.narrow(0, start, parameter.numel());
    }

    /** Where autograd leaves gradients. */
    List<Tensor> leaves() {
        return cast == null ? List.of(tensor) : List.of(tensor, cast);
    }

    /** Takes the memory away. */
    void drop() {
        parameter.absent("the model is sharded, and only Fsdp.gather() brings all of it together");
        parameter.release();
        leaves().forEach(Storages::drop);
    }

    /** Puts the parameter into the whole: as float32, and in the type of the computation. */
    void lend(Tensor whole_WxS, Tensor gathered_WxS) {
        Storages.lend(tensor, in(whole_WxS));
        if (cast != null) {
            Storages.lend(cast, in(gathered_WxS));
            parameter.hold(cast);
        }
        parameter.absent(null);
    }

    void close() {
        tensor.close();
        if (cast != null) {
            cast.close();
        }
    }
}
