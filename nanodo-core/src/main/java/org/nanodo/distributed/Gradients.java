package org.nanodo.distributed;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Collectives.Handle;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** A unit's gradients in float32: first this rank's gradients of the whole, then this rank's part of their sum over the ranks. */
final class Gradients implements AutoCloseable {
    private final Collectives ranks;
    private final Device device;
    private final long S;
    private final long length;
    private final List<Slot> slots;
    private final Tensor sum_S;
    private boolean present;
    private Tensor whole_WxS;
    private Tensor part_S;
    private Handle reducing;

    /** @param length the elements of the whole without its padding */
    Gradients(Collectives ranks, Device device, long S, long length, List<Slot> slots) {
        this.ranks = ranks;
        this.device = device;
        this.S = S;
        this.length = length;
        this.slots = slots;
        try (var scope = Scope.open()) {
            sum_S = Scope.keep(Tensors.zeros(device, S));
        }
    }

    /** Returns this rank's part of the sum, padded with zeros; the gradients of the slots are views of it. */
    Tensor sum_S() {
        return sum_S;
    }

    /** Returns the L2 norm of this rank's part. */
    Tensor norm() {
        return present ? torch.linalg_vector_norm(sum_S) : Tensors.zeros(device);
    }

    /** Lets autograd add to the whole in place, for a unit that receives gradients from more than one graph. */
    void lend() {
        try (var scope = Scope.open()) {
            if (whole_WxS == null) {
                whole_WxS = Scope.keep(Tensors.zeros(device, S * ranks.world()));
            }
            for (Slot slot : slots) {
                if (!slot.isCast() && slot.parameter().isTrainable()) { // the gradient of a cast is of another type
                    slot.tensor()
                            .mutable_grad()
                            .put(slot.in(whole_WxS).view(slot.parameter().shape()));
                }
            }
        }
    }

    /** Ends {@link #lend}. */
    void takeBack() {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            for (Slot slot : slots) {
                if (slot.isCast()) {
                    collect(slot, false);
                } else {
                    slot.tensor().mutable_grad().reset();
                }
            }
        }
    }

    /** Adds the gradients that autograd has left at the parameters to the whole, and removes them there. */
    void collect() {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            boolean first = whole_WxS == null;
            if (first) {
                whole_WxS = Scope.keep(Tensors.empty(device, ScalarType.Float, S * ranks.world()));
                whole_WxS.narrow(0, length, S * ranks.world() - length).zero_();
            }
            slots.forEach(slot -> collect(slot, first));
        }
    }

    private void collect(Slot slot, boolean first) {
        Tensor sum = slot.in(whole_WxS);
        Tensor gradient = slot.leaf().grad();
        if (!gradient.defined()) {
            if (first) {
                sum.zero_(); // this parameter has received no gradient
            }
            return;
        }
        if (first) {
            sum.copy_(gradient.reshape(-1));
        } else {
            sum.add_(gradient.reshape(-1));
        }
        slot.leaf().mutable_grad().reset();
    }

    void startReduce() {
        try (var scope = Scope.open()) {
            part_S = Scope.keep(present ? Tensors.empty(device, ScalarType.Float, S) : new Tensor(sum_S));
            reducing = ranks.reduceScatter(part_S, whole_WxS);
        }
    }

    /** Waits for this rank's part and adds it to the sum. */
    void finishReduce() {
        reducing.await();
        try (var scope = Scope.open();
                var off = Grad.off()) {
            if (present) {
                sum_S.add_(part_S);
            }
        }
        present = true;
        slots.stream()
                .filter(slot -> slot.part().isTrainable())
                .forEach(slot -> slot.part().tensor().mutable_grad().put(slot.gradient()));
        freeWhole();
    }

    /** Removes all gradients, including those of a step that failed before they were collected. */
    void clear() {
        present = false;
        for (Slot slot : slots) {
            slot.leaf().mutable_grad().reset();
            slot.tensor().mutable_grad().reset();
            slot.part().tensor().mutable_grad().reset();
        }
        freeWhole();
    }

    private void freeWhole() {
        if (whole_WxS != null) {
            whole_WxS.close();
            whole_WxS = null;
        }
        if (part_S != null) {
            part_S.close();
            part_S = null;
        }
    }

    @Override
    public void close() {
        freeWhole();
        sum_S.close();
    }
}
