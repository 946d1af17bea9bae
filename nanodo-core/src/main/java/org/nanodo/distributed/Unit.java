package org.nanodo.distributed;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.checkpoint.Slice;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Collectives.Handle;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * Parameters that are gathered and freed together, all of which the model reads in one type. Laid end to end and padded to W·S
 * elements they form a whole, of which each of W ranks keeps S, in float32. The model's own tensors have memory only while the
 * whole exists.
 */
final class Unit implements AutoCloseable {
    private final String name;
    private final Collectives ranks;
    private final Device device;
    private final ScalarType type;
    private final long S;
    private final List<Slot> slots = new ArrayList<>();
    private final Tensor values_S;
    private final Gradients gradients;
    private Tensor whole_WxS;
    private Handle gathering;

    /** Takes over the values of parameters of one type, and frees their memory one after the other. */
    Unit(String name, Collectives ranks, Device device, List<Parameter> parameters) {
        this.name = name;
        this.ranks = ranks;
        this.device = device;
        type = parameters.get(0).dtype().scalarType();
        long length = parameters.stream().mapToLong(Parameter::numel).sum();
        S = (length + ranks.world() - 1) / ranks.world();
        try (var scope = Scope.open()) {
            values_S = Scope.keep(Tensors.zeros(device, S));
        }
        gradients = new Gradients(ranks, device, S, length, slots);
        long start = 0;
        for (Parameter parameter : parameters) {
            try (var scope = Scope.open();
                    var off = Grad.off()) {
                slots.add(takeOver(parameter, start));
            }
            start += parameter.numel();
        }
    }

    /** Copies this rank's elements, possibly none: all ranks have the same parameters in the same order. */
    private Slot takeOver(Parameter parameter, long start) {
        long mine = ranks.rank() * S;
        long first = Math.min(Math.max(start, mine), start + parameter.numel());
        long length = Math.max(0, Math.min(start + parameter.numel(), mine + S) - first);
        long at = length == 0 ? 0 : first - mine;
        Tensor part = Scope.keep(values_S.narrow(0, at, length));
        part.copy_(parameter.tensor().view(-1).narrow(0, first - start, length));
        Tensor gradient = Scope.keep(gradients.sum_S().narrow(0, at, length));
        Tensor tensor = Scope.keep(new Tensor(parameter.tensor()));
        Tensor leaf = tensor;
        if (type != ScalarType.Float) {
            leaf = Scope.keep(tensor.to(type));
            leaf.set_requires_grad(true);
        }
        var slice = new Slice(part, parameter.shape(), first - start);
        var slot = new Slot(parameter, start, tensor, leaf, new Parameter(parameter.name(), slice), gradient);
        slot.drop();
        return slot;
    }

    String name() {
        return name;
    }

    /** Returns this rank's parts of the parameters. */
    Stream<Parameter> parts() {
        return slots.stream().map(Slot::part);
    }

    Gradients gradients() {
        return gradients;
    }

    /** Returns how many elements one collective over the whole receives from other ranks. */
    long traffic() {
        return S * (ranks.world() - 1);
    }

    /** Returns whether the whole exists or is being gathered. */
    boolean isGathered() {
        return whole_WxS != null;
    }

    /** Starts to gather the whole in the type in which the model reads the parameters. */
    void startGather() {
        startGather(type);
    }

    void startGather(ScalarType type) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            whole_WxS = Scope.keep(Tensors.empty(device, type, S * ranks.world()));
            gathering = ranks.allGather(whole_WxS, values_S.to(type));
        }
    }

    /** Waits for the whole and lets the model's parameters live in it. */
    void finishGather() {
        if (gathering == null) {
            return;
        }
        gathering.await();
        gathering = null;
        try (var scope = Scope.open();
                var off = Grad.off()) {
            slots.forEach(slot -> slot.lend(whole_WxS));
        }
    }

    /** Frees the whole, if it exists. */
    void free() {
        gathering = null;
        if (whole_WxS != null) {
            slots.forEach(Slot::drop);
            whole_WxS.close();
            whole_WxS = null;
        }
    }

    @Override
    public void close() {
        free();
        slots.forEach(Slot::close);
        gradients.close();
        values_S.close();
    }
}
