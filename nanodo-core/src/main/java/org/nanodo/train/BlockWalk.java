package org.nanodo.train;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.data.Batch;
import org.nanodo.model.Attention;
import org.nanodo.model.Head;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Linear;
import org.nanodo.model.ModelUse;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Operator;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.train.Residency.Pass;
import org.nanodo.train.StepClock.Phase;

/**
 * The forward and backward pass over a model's blocks, each of which is a separate autograd graph. It is the engine for one
 * device; engines that move parameters in and out meanwhile pass it a {@link Residency}.
 */
public final class BlockWalk implements Engine {
    /**
     * Largest size of the logits of one chunk of tokens; the loss needs about three times this. Memory blocks of more than 64 MiB
     * are mapped anew every time ({@link org.nanodo.runtime.Natives}).
     */
    private static final long LOGITS_BYTES = 60 << 20;

    private static final Operator foreachNorm = Operator.find("aten::_foreach_norm", "Scalar");

    private final LanguageModel model;
    private final Residency residency;
    private final int chunk;
    private ModelUse casts; // until the gradients are cleared

    BlockWalk(LanguageModel model) {
        this(model, Residency.ALWAYS);
    }

    /** @param residency is told which parameters the walk needs */
    public BlockWalk(LanguageModel model, Residency residency) {
        this(model, residency, (int)
                Math.max(1, LOGITS_BYTES / Float.BYTES / model.config().V()));
    }

    /** @param chunk number of tokens whose logits exist at once */
    BlockWalk(LanguageModel model, Residency residency, int chunk) {
        this.model = model;
        this.residency = residency;
        this.chunk = chunk;
    }

    @Override
    public Tensor lossAndGradients(Batch batch, Loss loss, StepClock clock) {
        boolean remat = model.config().remat();
        List<? extends LanguageModel.Block> blocks = model.blocks();
        if (residency == Residency.ALWAYS && casts == null) {
            casts = ModelUse.casts(model);
        }
        try (var scope = Scope.open()) {
            // All copies to the device come before it is busy, since a copy waits for all earlier work.
            Tensor y_BxL = ids(batch, batch.inputs_BxL());
            int T = batch.B() * batch.L();
            Tensor targets_T = Tensors.ids(model.device(), batch.targets_BxL(), T);
            Tensor weights_T = Tensors.floats(model.device(), batch.weights_BxL(), T);
            Attention attention = attention(batch);

            residency.enter(Residency.ROOT, Pass.FORWARD);
            Tensor embedded_BxLxD = model.embed(y_BxL);
            var inputs = new ArrayList<Tensor>();
            var outputs = new ArrayList<Tensor>();
            Tensor x_BxLxD = embedded_BxLxD;
            for (int i = 0; i < blocks.size(); i++) {
                x_BxLxD = Tensors.leaf(x_BxLxD);
                inputs.add(x_BxLxD);
                x_BxLxD = forward(i, x_BxLxD, attention, !remat);
                outputs.add(x_BxLxD);
            }
            clock.lap(Phase.FORWARD);

            residency.enter(Residency.ROOT, Pass.BACKWARD);
            HeadLoss head = headLossAndGradients(x_BxLxD, targets_T, weights_T, loss, clock);
            Tensor gradient_BxLxD = head.gradient_BxLxD;
            for (int i = blocks.size() - 1; i >= 0; i--) {
                residency.enter(i, Pass.BACKWARD);
                try (var perBlock = Scope.open()) {
                    Tensor output_BxLxD = remat ? run(blocks.get(i), inputs.get(i), attention, true) : outputs.get(i);
                    backward(output_BxLxD, gradient_BxLxD);
                    gradient_BxLxD.close();
                    gradient_BxLxD = perBlock.export(Tensors.gradient(inputs.get(i)));
                }
                outputs.get(i).close();
                inputs.get(i).close();
                residency.leave(i, Pass.BACKWARD);
            }
            backward(embedded_BxLxD, gradient_BxLxD);
            residency.leave(Residency.ROOT, Pass.BACKWARD);
            clock.lap(Phase.BACKWARD);
            return scope.export(head.sum);
        }
    }

    /** Returns the attention that the batch asks for: within documents, or plainly causal. */
    private Attention attention(Batch batch) {
        return batch.isMasked() ? Attention.within(ids(batch, batch.documents_BxL())) : Attention.CAUSAL;
    }

    private Tensor forward(int block, Tensor x_BxLxD, Attention attention, boolean forBackward) {
        residency.enter(block, Pass.FORWARD);
        Tensor out_BxLxD = run(model.blocks().get(block), x_BxLxD, attention, forBackward);
        residency.leave(block, Pass.FORWARD);
        return out_BxLxD;
    }

    /** Runs one block and frees everything except its output and what its backward pass needs. */
    private static Tensor run(LanguageModel.Block block, Tensor x_BxLxD, Attention attention, boolean forBackward) {
        try (var scope = Scope.open();
                var grad = forBackward ? Grad.on() : Grad.off()) {
            return scope.export(block.forward(x_BxLxD, attention));
        }
    }

    /** The loss summed over all tokens, and its gradient with respect to the output of the last block. */
    private record HeadLoss(Tensor sum, Tensor gradient_BxLxD) {}

    /** Runs head and loss forward and backward, chunk by chunk, so that the logits of all tokens never exist at once. */
    private HeadLoss headLossAndGradients(
            Tensor x_BxLxD, Tensor targets_T, Tensor weights_T, Loss loss, StepClock clock) {
        long T = targets_T.numel();
        Tensor x_TxD = x_BxLxD.detach().flatten(0, 1);
        Tensor gradient_BxLxD = torch.empty_like(x_BxLxD);
        Tensor gradient_TxD = gradient_BxLxD.flatten(0, 1);
        ScalarType type = model.config().dtype().scalarType();
        Tensor embed_VxD = model.outEmbed().as(Head.dtype(model)).detach();
        Tensor rounded_VxD = embed_VxD.to(type);
        Tensor gradient_VxD = gradient(model.outEmbed());
        Tensor sum = Tensors.zeros(model.device());
        for (long start = 0; start < T; start += chunk) {
            try (var scope = Scope.open()) {
                long length = Math.min(chunk, T - start);
                Tensor x_CxD = Tensors.leaf(x_TxD.narrow(0, start, length));
                Tensor y_CxD = model.outNorm(x_CxD);
                Tensor products_CxV = Tensors.leaf(headProduct(y_CxD.detach(), embed_VxD));
                Tensor chunkSum = loss.sum(
                        model.logits(products_CxV),
                        targets_T.narrow(0, start, length),
                        weights_T.narrow(0, start, length));
                clock.lap(Phase.FORWARD);
                chunkSum.backward();
                Tensor gradient_CxV = Tensors.gradient(products_CxV);
                // By hand, so that the product is added to the gradient in place: autograd allocates a VxD per chunk.
                // So does a product in bfloat16, which takes as long as this one, conversion included.
                gradient_VxD.addmm_(gradient_CxV.t(), y_CxD.detach().to(ScalarType.Float));
                // Rounded, unlike the forward product: float32 takes longer and does not improve the loss.
                backward(y_CxD, Linear.of(gradient_CxV.to(type), rounded_VxD));
                gradient_TxD.narrow(0, start, length).copy_(x_CxD.grad());
                sum.add_(chunkSum.detach());
                clock.lap(Phase.BACKWARD);
            }
        }
        return new HeadLoss(sum, gradient_BxLxD);
    }

    /** Uses the kernels without a backward pass, since the backward pass is by hand. */
    private static Tensor headProduct(Tensor y_CxD, Tensor embed_VxD) {
        try (var off = Grad.off()) {
            return Head.product(y_CxD, embed_VxD);
        }
    }

    @Override
    public float[] tokenLosses(Batch batch) {
        boolean sharded = residency != Residency.ALWAYS; // parameters come and go on this thread
        try (var use = ModelUse.inference(sharded ? List.of() : parameters());
                var scope = Scope.open();
                var off = Grad.off()) {
            Attention attention = attention(batch);
            residency.enter(Residency.ROOT, Pass.FORWARD);
            Tensor x_BxLxD = model.embed(ids(batch, batch.inputs_BxL()));
            for (int i = 0; i < model.blocks().size(); i++) {
                Tensor out_BxLxD = forward(i, x_BxLxD, attention, false);
                x_BxLxD.close();
                x_BxLxD = out_BxLxD;
            }
            int T = batch.B() * batch.L();
            Tensor x_TxD = x_BxLxD.flatten(0, 1);
            Tensor targets_T = Tensors.ids(model.device(), batch.targets_BxL(), T);
            float[] losses = new float[T];
            for (int start = 0; start < T; start += chunk) {
                try (var perChunk = Scope.open()) {
                    int length = Math.min(chunk, T - start);
                    Tensor losses_C = Loss.tokenCrossEntropy(
                            Head.of(model, x_TxD.narrow(0, start, length)), targets_T.narrow(0, start, length));
                    System.arraycopy(Tensors.toFloats(losses_C), 0, losses, start, length);
                }
            }
            residency.leave(Residency.ROOT, Pass.FORWARD);
            return losses;
        }
    }

    @Override
    public List<Parameter> parameters() {
        return model.parameters();
    }

    @Override
    public Tensor globalNorm() {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            var gradients = parameters().stream().map(BlockWalk::gradient).toList();
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
            if (parameter != model.outEmbed()) {
                parameter.tensor().mutable_grad().reset();
            } else if (parameter.tensor().grad().defined()) { // the largest of all keeps its memory from step to step
                Tensors.fill(parameter.tensor().grad(), 0);
            }
        }
    }

    /** Returns a parameter's gradient, which is zeros if the loss does not depend on the parameter in this step. */
    private static Tensor gradient(Parameter parameter) {
        Tensor tensor = parameter.tensor();
        if (!tensor.grad().defined()) {
            tensor.mutable_grad().put(torch.zeros_like(tensor));
        }
        return tensor.grad();
    }

    private Tensor ids(Batch batch, int[] ids_BxL) {
        return Tensors.ids(model.device(), ids_BxL, batch.B(), batch.L());
    }

    private static void backward(Tensor output, Tensor gradient) {
        output.backward(gradient, new BoolOptional(), false, new TensorArrayRefOptional());
    }
}
