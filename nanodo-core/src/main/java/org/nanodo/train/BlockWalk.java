package org.nanodo.train;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.model.BlockModel;
import org.nanodo.model.ForwardPass;
import org.nanodo.model.Head;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Linear;
import org.nanodo.model.Parameter;
import org.nanodo.model.PlainPass;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.train.Residency.Direction;
import org.nanodo.train.StepClock.Phase;
import org.nanodo.train.WalkPass.Visit;

/**
 * The forward and backward pass over a model's blocks, each of which is a separate autograd graph. It is the engine for one
 * device; engines that move parameters in and out meanwhile pass it a {@link Residency}.
 */
public final class BlockWalk extends LocalEngine {
    /**
     * Largest size of the logits of one chunk of tokens; the loss needs about three times this. Memory blocks of more than 64 MiB
     * are mapped anew every time ({@link org.nanodo.runtime.Natives}).
     */
    private static final long LOGITS_BYTES = 60 << 20;

    private final BlockModel model;
    private final List<Parameter> root;
    private final int chunk;

    BlockWalk(BlockModel model) {
        this(model, Residency.ALWAYS);
    }

    /** @param residency is told which parameters the walk needs */
    public BlockWalk(BlockModel model, Residency residency) {
        this(model, residency, (int)
                Math.max(1, LOGITS_BYTES / Float.BYTES / model.config().V()));
    }

    /** @param chunk number of tokens whose logits exist at once */
    BlockWalk(BlockModel model, Residency residency, int chunk) {
        super(model, residency);
        this.model = model;
        root = model.rootParameters();
        this.chunk = chunk;
    }

    @Override
    Tensor lossAndGradients(MicroBatch micro, DeviceBatch onDevice) {
        try (var pass = onDevice.walk(micro)) {
            return walk(onDevice, micro, pass);
        }
    }

    private Tensor walk(DeviceBatch onDevice, MicroBatch micro, WalkPass pass) {
        boolean remat = model.config().remat();
        List<? extends LanguageModel.Block> blocks = model.blocks();
        StepClock clock = micro.clock();
        residency.enter(Residency.ROOT, Direction.FORWARD);
        var embedding = pass.begin(root);
        Tensor embedded_BxLxD = model.embed(onDevice.y_BxL(), pass);
        pass.end();
        boolean flows = embedded_BxLxD.requires_grad(); // whether anything trainable comes before
        var inputs = new ArrayList<Tensor>();
        var outputs = new ArrayList<Tensor>();
        var visits = new ArrayList<Visit>();
        Tensor x_BxLxD = embedded_BxLxD;
        for (int i = 0; i < blocks.size(); i++) {
            x_BxLxD = x_BxLxD.detach();
            x_BxLxD.set_requires_grad(flows);
            flows |= blocks.get(i).parameters().stream().anyMatch(Parameter::isTrainable);
            inputs.add(x_BxLxD);
            visits.add(pass.begin(blocks.get(i).parameters()));
            x_BxLxD = forward(i, x_BxLxD, pass, !remat);
            pass.end();
            outputs.add(x_BxLxD);
        }
        pass.beginHead();
        clock.lap(Phase.FORWARD);

        residency.enter(Residency.ROOT, Direction.BACKWARD);
        HeadLoss head = headLossAndGradients(x_BxLxD, onDevice, micro, pass);
        Tensor gradient_BxLxD = head.gradient_BxLxD;
        for (int i = blocks.size() - 1; i >= 0; i--) {
            residency.enter(i, Direction.BACKWARD);
            try (var perBlock = Scope.open()) {
                if (remat) {
                    pass.recompute(visits.get(i));
                }
                Tensor output_BxLxD = remat ? run(blocks.get(i), inputs.get(i), pass, true) : outputs.get(i);
                pass.backward(visits.get(i), output_BxLxD, gradient_BxLxD);
                if (gradient_BxLxD != null) {
                    gradient_BxLxD.close();
                }
                gradient_BxLxD = inputs.get(i).grad().defined()
                        ? perBlock.export(Tensors.gradient(inputs.get(i)))
                        : null; // nothing trainable comes before
            }
            outputs.get(i).close();
            inputs.get(i).close();
            residency.leave(i, Direction.BACKWARD);
        }
        pass.backward(embedding, embedded_BxLxD, gradient_BxLxD);
        residency.leave(Residency.ROOT, Direction.BACKWARD);
        clock.lap(Phase.BACKWARD);
        return head.sum.add_(pass.sum());
    }

    private Tensor forward(int block, Tensor x_BxLxD, ForwardPass pass, boolean forBackward) {
        residency.enter(block, Direction.FORWARD);
        Tensor out_BxLxD = run(model.blocks().get(block), x_BxLxD, pass, forBackward);
        residency.leave(block, Direction.FORWARD);
        return out_BxLxD;
    }

    /** Runs one block and frees everything except its output and what its backward pass needs. */
    private static Tensor run(LanguageModel.Block block, Tensor x_BxLxD, ForwardPass pass, boolean forBackward) {
        try (var scope = Scope.open();
                var grad = forBackward ? Grad.on() : Grad.off()) {
            return scope.export(block.forward(x_BxLxD, pass));
        }
    }

    /** The loss summed over all tokens, and its gradient with respect to the output of the last block. */
    private record HeadLoss(Tensor sum, Tensor gradient_BxLxD) {}

    /** Runs head and loss forward and backward, chunk by chunk, so that the logits of all tokens never exist at once. */
    private HeadLoss headLossAndGradients(Tensor x_BxLxD, DeviceBatch onDevice, MicroBatch micro, TrainingPass pass) {
        StepClock clock = micro.clock();
        long T = onDevice.targets_T().numel();
        Tensor x_TxD = x_BxLxD.detach().flatten(0, 1);
        Tensor gradient_BxLxD = torch.empty_like(x_BxLxD);
        Tensor gradient_TxD = gradient_BxLxD.flatten(0, 1);
        ScalarType type = model.config().dtype().scalarType();
        Tensor embed_VxD = model.outEmbed().as(Head.dtype(model)).detach();
        Tensor rounded_VxD = embed_VxD.to(type);
        Tensor gradient_VxD = model.outEmbed().isTrainable() ? model.outEmbed().gradient() : null;
        Tensor sum = Tensors.zeros(model.device());
        for (long start = 0; start < T; start += chunk) {
            try (var scope = Scope.open()) {
                long first = start;
                long length = Math.min(chunk, T - start);
                pass.part(t_BxLxX -> t_BxLxX.flatten(0, 1).narrow(0, first, length));
                Tensor x_CxD = Tensors.leaf(x_TxD.narrow(0, start, length));
                Tensor y_CxD = model.outNorm(x_CxD, pass);
                Tensor products_CxV = Tensors.leaf(headProduct(y_CxD.detach(), embed_VxD));
                Tensor chunkSum = onDevice.loss(micro, model.logits(products_CxV), start);
                clock.lap(Phase.FORWARD);
                chunkSum.backward();
                Tensor gradient_CxV = Tensors.gradient(products_CxV);
                if (gradient_VxD != null) {
                    // By hand, so that the product is added to the gradient in place: autograd allocates a VxD per
                    // chunk. So does a product in bfloat16, which takes as long as this one, conversion included.
                    gradient_VxD.addmm_(gradient_CxV.t(), y_CxD.detach().to(ScalarType.Float));
                }
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
    float[] tokenLosses(DeviceBatch onDevice, PlainPass pass) {
        residency.enter(Residency.ROOT, Direction.FORWARD);
        Tensor x_BxLxD = model.embed(onDevice.y_BxL(), pass);
        for (int i = 0; i < model.blocks().size(); i++) {
            Tensor out_BxLxD = forward(i, x_BxLxD, pass, false);
            x_BxLxD.close();
            x_BxLxD = out_BxLxD;
        }
        Tensor x_TxD = x_BxLxD.flatten(0, 1);
        int T = (int) onDevice.targets_T().numel();
        float[] losses = new float[T];
        for (int start = 0; start < T; start += chunk) {
            try (var scope = Scope.open()) {
                int first = start;
                int length = Math.min(chunk, T - start);
                pass.part(t_BxLxX -> t_BxLxX.flatten(0, 1).narrow(0, first, length));
                Tensor logits_CxV = Head.of(model, x_TxD.narrow(0, start, length), pass);
                Tensor losses_C =
                        Loss.tokenCrossEntropy(logits_CxV, onDevice.targets_T().narrow(0, start, length));
                System.arraycopy(Tensors.toFloats(losses_C), 0, losses, start, length);
            }
        }
        residency.leave(Residency.ROOT, Direction.FORWARD);
        return losses;
    }

    @Override
    boolean keepsGradient(Parameter parameter) {
        return parameter == model.outEmbed(); // the largest of all
    }

    private static void backward(Tensor output, Tensor gradient) {
        output.backward(gradient, new BoolOptional(), false, new TensorArrayRefOptional());
    }
}
