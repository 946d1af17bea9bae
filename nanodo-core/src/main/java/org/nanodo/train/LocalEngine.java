package org.nanodo.train;

import java.util.List;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelUse;
import org.nanodo.model.Parameter;
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

    /** Casts the parameters once for all micro-batches of a step, unless they come and go. */
    final void holdCasts() {
        if (residency == Residency.ALWAYS && casts == null) {
            casts = ModelUse.casts(model);
        }
    }

    /** Begins an inference; a sharded model's parameters come and go on this thread, so that no other can use them. */
    final ModelUse inference() {
        return ModelUse.inference(residency == Residency.ALWAYS ? parameters() : List.of());
    }

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
