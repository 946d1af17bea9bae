package org.nanodo.model;

import java.util.SplittableRandom;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Fills a new parameter. */
@FunctionalInterface
public interface Init {
    void fill(Tensor tensor, Generator random);

    /** Provides the values of a model's parameters, from random numbers or from a file. */
    @FunctionalInterface
    interface Source {
        Tensor get(String name, Init init, long... shape);
    }

    static Init zeros() {
        return (tensor, random) -> Tensors.fill(tensor, 0);
    }

    static Init ones() {
        return (tensor, random) -> Tensors.fill(tensor, 1);
    }

    /** Uniform in ±√(6 / (in + out)): Glorot and Bengio 2010. */
    static Init xavierUniform(long fanIn, long fanOut) {
        double bound = Math.sqrt(6.0 / (fanIn + fanOut));
        return (tensor, random) -> tensor.uniform_(-bound, bound, new GeneratorOptional(random));
    }

    /** Normal with variance 1 / fanIn: flax's variance_scaling(1, "fan_in", "normal"). */
    static Init normal(long fanIn) {
        return gaussian(1 / Math.sqrt(fanIn));
    }

    /** Normal with the given standard deviation. */
    static Init gaussian(double deviation) {
        return (tensor, random) -> tensor.normal_(0, deviation, new GeneratorOptional(random));
    }

    /**
     * Creates parameters from a seed. Each has its own generator on the CPU, seeded by the seed and the parameter's name, so that
     * its values do not depend on the device, the order of creation or the other parameters.
     */
    static Source seeded(long seed, Device device) {
        Natives.start();
        return (name, init, shape) -> {
            try (var scope = Scope.open();
                    var off = Grad.off()) {
                long own = new SplittableRandom(seed ^ (long) name.hashCode() << 32).nextLong();
                Tensor tensor = Tensors.empty(Device.cpu(), ScalarType.Float, shape);
                init.fill(tensor, torch.createCPUGenerator(own));
                return Scope.keep(Tensors.to(tensor, device));
            }
        };
    }
}
