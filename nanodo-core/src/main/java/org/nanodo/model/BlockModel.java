package org.nanodo.model;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.function.IntFunction;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;

/**
 * A model of an embedding, blocks and a head. {@link #forward} runs the three in order; an engine runs them itself, and may keep,
 * drop, recompute or gather tensors in between. {@link DecoderModel} is an example.
 */
public abstract class BlockModel extends BaseModel {
    private final List<LanguageModel.Block> blocks = new ArrayList<>();

    /** @param source provides each parameter's values when the parameter is first used */
    protected BlockModel(ModelSpec spec, TransformerConfig config, Device device, Init.Source source) {
        super(spec, config, device, source);
    }

    /** Adds blocks 0 to N - 1. The same block may be added several times; it is one set of parameters then. */
    protected final void addBlocks(IntFunction<? extends LanguageModel.Block> constructor) {
        for (int i = 0; i < config.N(); i++) {
            blocks.add(constructor.apply(i));
        }
    }

    /** A block whose parameters are those that its constructor adds. */
    protected abstract class Block implements LanguageModel.Block {
        private final List<Parameter> own = new ArrayList<>();

        /** Adds a parameter that is read in float32. */
        protected final Parameter parameter(String name, Init init, long... shape) {
            return own(BlockModel.this.parameter(name, init, shape));
        }

        /** Adds a parameter that is only read as {@code as(config.dtype())}, in the type of the computation. */
        protected final Parameter kernel(String name, Init init, long... shape) {
            return own(BlockModel.this.kernel(name, init, shape));
        }

        /** Lets this block read another block's parameter, too. */
        protected final void share(Parameter parameter) {
            own(parameter);
        }

        private Parameter own(Parameter parameter) {
            own.add(parameter);
            return parameter;
        }

        @Override
        public final List<Parameter> parameters() {
            return Collections.unmodifiableList(own);
        }
    }

    /** Embeds ids y_BxL, int64, as y_BxLxD. */
    public abstract Tensor embed(Tensor y_BxL, ForwardPass pass);

    /** Returns the blocks in their order. */
    public List<? extends LanguageModel.Block> blocks() {
        return Collections.unmodifiableList(blocks);
    }

    /** Returns the parameters outside of the blocks: those of embedding, last normalisation and head. */
    public final List<Parameter> rootParameters() {
        var inBlocks = new HashSet<Parameter>();
        blocks().forEach(block -> inBlocks.addAll(block.parameters()));
        return parameters().stream().filter(p -> !inBlocks.contains(p)).toList();
    }

    /** Applies the last normalisation, before the head, to y_TxD or y_BxLxD; the result has the type of the computation. */
    public abstract Tensor outNorm(Tensor y_BxLxD, ForwardPass pass);

    /** Returns the output embedding, VxD, with which the {@link Head} multiplies. */
    public abstract Parameter outEmbed();

    /**
     * Maps the products with the output embedding, y_TxV or y_BxLxV in float32, to logits: to softly capped ones, for example.
     * Training, evaluation and decoding all call it, with any part of the positions, so each position must be mapped alone. By
     * default the products are the logits.
     */
    public Tensor logits(Tensor products_TxV) {
        return products_TxV;
    }

    @Override
    public final Tensor forward(Tensor y_BxL, ForwardPass pass) {
        return Head.of(this, hidden(y_BxL, pass), pass);
    }

    @Override
    public final Tensor nextLogits(Tensor y_BxL, PlainPass pass) {
        Tensor x_BxLxD = hidden(y_BxL, pass);
        long last = x_BxLxD.size(1) - 1;
        pass.part(t_BxLxX -> t_BxLxX.narrow(1, last, 1));
        return Head.of(this, x_BxLxD.narrow(1, last, 1), pass);
    }

    /** Embeds tokens and runs the blocks on them; returns what {@link Head#of} requires. */
    public final Tensor hidden(Tensor y_BxL, ForwardPass pass) {
        try (var scope = Scope.open()) {
            Tensor x_BxLxD = embed(y_BxL, pass);
            for (LanguageModel.Block block : blocks()) {
                try (var perBlock = Scope.open()) {
                    Tensor out_BxLxD = perBlock.export(block.forward(x_BxLxD, pass));
                    x_BxLxD.close();
                    x_BxLxD = out_BxLxD;
                }
            }
            return scope.export(x_BxLxD);
        }
    }
}
