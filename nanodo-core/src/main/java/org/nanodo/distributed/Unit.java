package org.nanodo.distributed;

import java.util.ArrayList;
import java.util.List;
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
 * Parameters that are gathered and freed together, in the one type that the model reads all of them in. One after the other
 * and padded to W·S elements they are one whole, of which each of W ranks keeps S, in float32. The model's own tensors have
 * memory only while the whole is there.
 */
final class Unit implements AutoCloseable {
    private final String name;
    private final Collectives ranks;
    private final Device device;
    private final ScalarType type;
    private final long S;
    private final List<Slot> slots = new ArrayList<>();
    private final List<Shard> shards = new ArrayList<>();
    private final Tensor values_S;
    private final Gradients gradients;
    private Tensor whole_WxS;
    private Handle gathering;

    /** Takes the values of parameters of one type, one after the other, and their memory. */
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
        gradients = new Gradients(ranks, device, S, length, slots, shards);
        long start = 0;
        for (Parameter parameter : parameters) {
            try (var scope = Scope.open();
                    var off = Grad.off()) {
                takeShard(parameter, start);
                Tensor tensor = Scope.keep(new Tensor(parameter.tensor()));
                var slot = new Slot(parameter, start, tensor, type == ScalarType.Float ? tensor : cast(tensor));
                slot.drop();
                slots.add(slot);
            }
            start += parameter.numel();
        }
    }

    /** One of no elements where the parameter is other ranks': all ranks have the same parameters in the same order. */
    private void takeShard(Parameter parameter, long start) {
        long mine = ranks.rank() * S;
        long first = Math.min(Math.max(start, mine), start + parameter.numel());
        long length = Math.max(0, Math.min(start + parameter.numel(), mine + S) - first);
        long at = length == 0 ? 0 : first - mine;
        Tensor part = Scope.keep(values_S.narrow(0, at, length));
        part.copy_(parameter.tensor().view(-1).narrow(0, first - start, length));
        shards.add(new Shard(
                new Parameter(parameter.name(), new Slice(part, parameter.shape(), first - start)),
                Scope.keep(gradients.sum_S().narrow(0, at, length))));
    }

    /** A leaf for a parameter in the type that the model reads it in, which receives the gradients. */
    private Tensor cast(Tensor tensor) {
        Tensor cast = Scope.keep(tensor.to(type));
        cast.set_requires_grad(true);
        return cast;
    }

    String name() {
        return name;
    }

    List<Shard> shards() {
        return shards;
    }

    Gradients gradients() {
        return gradients;
    }

    /** Elements that come from other ranks in one collective over the whole. */
    long traffic() {
        return S * (ranks.world() - 1);
    }

    /** Whether it is there or on its way. */
    boolean isGathered() {
        return whole_WxS != null;
    }

    /** For the model's walk: in the type that it reads the parameters in. */
    void startGather() {
        startGather(type);
    }

    /** For whoever wants the parameters as they are. */
    void startGatherFloat32() {
        startGather(ScalarType.Float);
    }

    private void startGather(ScalarType type) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            whole_WxS = Scope.keep(Tensors.empty(device, type, S * ranks.world()));
            gathering = ranks.allGather(whole_WxS, values_S.to(type));
        }
    }

    /** Waits for the values and gives them to the model's parameters. */
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

    /** Takes the values away again, where they are there. */
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
        shards.forEach(Shard::close);
        slots.forEach(Slot::close);
        gradients.close();
        values_S.close();
    }
}
