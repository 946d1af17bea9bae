package org.nanodo.train;

import java.util.List;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.data.Batch;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelUse;
import org.nanodo.model.Parameter;
import org.nanodo.model.PlainPass;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Operator;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** What engines share whose gradients lie at the model's own parameters. */
abstract class LocalEngine implements Engine {
    private static final Operator foreachNorm = Operator.find("aten::_foreach_norm", "Scalar");

    final Residency residency;
    private final LanguageModel model;
    private ModelUse casts; // until the gradients are cleared

    LocalEngine(LanguageModel model, Residency residency) {
        this.model = model;
        this.residency = residency;
    }

    @Override
    public final Tensor lossAndGradients(MicroBatch micro) {
        if (residency == Residency.ALWAYS && casts == null) {
            casts = ModelUse.casts(model); // once for all micro-batches
        }
        try (var scope = Scope.open()) {
            // All copies to the device come before it is busy, since a copy waits for all earlier work.
            return scope.export(lossAndGradients(micro, new DeviceBatch(model, micro.batch())));
        }
    }

    abstract Tensor lossAndGradients(MicroBatch micro, DeviceBatch onDevice);

    @Override
    public final float[] tokenLosses(Batch batch) {
        boolean sharded = residency != Residency.ALWAYS; // parameters come and go on this thread
        try (var use = ModelUse.inference(sharded ? List.of() : parameters());
                var scope = Scope.open();
                var off = Grad.off()) {
            var onDevice = new DeviceBatch(model, batch);
            try (var pass = onDevice.inference()) {
                return tokenLosses(onDevice, pass);
            }
        }
    }

    abstract float[] tokenLosses(DeviceBatch onDevice, PlainPass pass);

    @Override
    public List<Parameter> parameters() {
        return model.parameters();
    }

    @Override
    public Tensor globalNorm() {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            var gradients = parameters().stream()
                    .filter(Parameter::isTrainable)
                    .map(Parameter::gradient)
                    .toList();
            var norms = foreachNorm
                    .call(Operator.list(gradients), new IValue(2), Operator.none())
                    .get(0)
                    .toTensorVector();
            return scope.export(torch.linalg_vector_norm(torch.stack(norms)));
        }
    }

    @Override
    public void clearGradients() {
        if (casts != null) {
            casts.close();
            casts = null;
        }
        for (Parameter parameter : parameters()) {
            if (!keepsGradient(parameter)) {
                parameter.tensor().mutable_grad().reset();
            } else if (parameter.tensor().grad().defined()) {
                Tensors.fill(parameter.tensor().grad(), 0);
            }
        }
    }

    /** Returns whether a gradient keeps its memory from step to step. */
    boolean keepsGradient(Parameter parameter) {
        return false;
    }
}
