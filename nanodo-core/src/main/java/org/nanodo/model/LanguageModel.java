package org.nanodo.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.IntFunction;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.NativeErrors;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.tokenizer.Tokenizer;

/**
 * A decoder as the trainer sees it: embed, blocks, head. Whoever runs these three in order may keep, drop, recompute or
 * gather in between what it likes; {@link #forward} is the plain way.
 *
 * <p>Threads: any number may infer with one model at the same time, each in calls of its own. While a trainer runs, only
 * its thread may: calls on others are refused. A closed model still tells its config and the names and shapes of its
 * parameters; all that needs their values is answered by an {@link IllegalStateException}, calls under way included, whose
 * memory stays until they have ended.
 */
public interface LanguageModel extends AutoCloseable {
    /** A function of the residual stream, x_BxLxD to x_BxLxD, with parameters. */
    interface Block {
        /** Its own, which no other block uses. */
        List<Parameter> parameters();

        Tensor forward(Tensor x_BxLxD, Attention attention);

        default Tensor forward(Tensor x_BxLxD) {
            return forward(x_BxLxD, Attention.CAUSAL);
        }
    }

    /** Its sizes. */
    TransformerConfig config();

    /** All that it is made of but its parameters. */
    ModelSpec spec();

    Device device();

    /** All parameters in a stable order. */
    List<Parameter> parameters();

    /** Ids y_BxL, int64, at most L columns, to y_BxLxD. */
    default Tensor embed(Tensor y_BxL) {
        if (y_BxL.size(1) > config().L()) {
            throw new IllegalArgumentException("A row of " + y_BxL.size(1) + " tokens is longer than the L="
                    + config().L() + " positions of this model");
        }
        return embed(y_BxL, Attention.CAUSAL.positions(device(), y_BxL.size(1)));
    }

    /** The same, where a token is not at the position of its column: positions are int64, below L, BxL or 1xL. */
    Tensor embed(Tensor y_BxL, Tensor positions_BxL);

    List<? extends Block> blocks();

    /** The last normalisation before the head, in the type of the computation. */
    Tensor outNorm(Tensor y_BxLxD);

    /** The output embedding, VxD, that {@link #head} multiplies with. */
    Parameter outEmbed();

    /**
     * Frees the parameters, at once or when the calls that use them have ended. The model cannot be used afterwards. Closing
     * it again does nothing.
     */
    @Override
    default void close() {
        parameters().forEach(Parameter::close);
    }

    /** Reads a model of whatever kind, from what {@link #save} wrote or a checkpoint's folder, onto the CPU. */
    static LanguageModel load(Path directory) throws IOException {
        return load(directory, Device.cpu());
    }

    static LanguageModel load(Path directory, Device device) throws IOException {
        return ModelFiles.load(directory, device, LanguageModel.class);
    }

    /** Writes a new folder with config and parameters: all that inference and fine-tuning need. */
    default void save(Path directory) throws IOException {
        ModelFiles.save(this, directory);
    }

    default long parameterCount() {
        return parameters().stream().mapToLong(Parameter::numel).sum();
    }

    /**
     * Floating-point operations of a forward and a backward pass over a token, for MFU: six a parameter (Kaplan et al. 2020).
     * Products of activations, as in attention, and recomputation do not count.
     */
    default double flopsPerToken() {
        return 6.0 * parameterCount();
    }

    /**
     * Logits in float32 for y_TxD or y_BxLxD: y_TxV or y_BxLxV. {@link Head} tells what they are multiplied in.
     */
    default Tensor head(Tensor y_BxLxD) {
        return Head.logits(outNorm(y_BxLxD), outEmbed().as(Head.dtype(this)));
    }

    /**
     * Logits of the next token at each position, y_BxL to y_BxLxV in float32. Records gradients unless switched off with
     * {@link Grad#off()}.
     */
    default Tensor forward(Tensor y_BxL) {
        try (var use = ModelUse.inference(parameters());
                var scope = Scope.open()) {
            return scope.export(head(hidden(y_BxL)));
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a forward pass");
        }
    }

    /** The residual stream after the last block, y_BxL to y_BxLxD: what {@link #head} takes. */
    default Tensor hidden(Tensor y_BxL) {
        try (var use = ModelUse.inference(parameters());
                var scope = Scope.open()) {
            return scope.export(hidden(embed(y_BxL), block -> Attention.CAUSAL));
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a forward pass");
        }
    }

    /** The same from embedded tokens, which it closes, with an attention of each block's own. */
    default Tensor hidden(Tensor x_BxLxD, IntFunction<Attention> attentionOfBlock) {
        try (var scope = Scope.open()) {
            for (int i = 0; i < blocks().size(); i++) {
                try (var perBlock = Scope.open()) {
                    Tensor out_BxLxD = perBlock.export(blocks().get(i).forward(x_BxLxD, attentionOfBlock.apply(i)));
                    x_BxLxD.close();
                    x_BxLxD = out_BxLxD;
                }
            }
            return scope.export(x_BxLxD);
        }
    }

    /**
     * Log-probability in nats of each token given those before it; the first has none, so L tokens give L - 1 numbers.
     *
     * @throws IllegalArgumentException if there are fewer than two tokens or more than L, or if an id is not in the vocabulary
     */
    default double[] logProbs(int... tokens) {
        checkTokens(tokens);
        if (tokens.length < 2) {
            throw new IllegalArgumentException(
                    tokens.length + " tokens: the probability of the next one needs at least two");
        }
        try (var use = ModelUse.inference(parameters());
                var scope = Scope.open();
                var off = Grad.off()) {
            Tensor y_1xL = Tensors.ids(device(), tokens, 1, tokens.length);
            Tensor logp_LxV = torch.log_softmax(forward(y_1xL), -1).squeeze(0);
            Tensor next_Lx1 = y_1xL.narrow(1, 1, tokens.length - 1).view(-1, 1);
            float[] values =
                    Tensors.toFloats(logp_LxV.narrow(0, 0, tokens.length - 1).gather(1, next_Lx1));
            var logProbs = new double[values.length];
            for (int i = 0; i < values.length; i++) {
                logProbs[i] = values[i];
            }
            return logProbs;
        }
    }

    /**
     * Starts continuations of one text or several at once, of BOS alone where a text is empty:
     * {@code model.generate(tokenizer, "a").text()}.
     */
    default Generation generate(Tokenizer tokenizer, String... prompts) {
        return new Generation(this, tokenizer, prompts);
    }

    /** @throws IllegalArgumentException if there are none, more than L, or an id is not in the vocabulary */
    default void checkTokens(int... tokens) {
        if (tokens.length == 0 || tokens.length > config().L()) {
            throw new IllegalArgumentException(tokens.length + " tokens: this model takes 1 to L=" + config().L());
        }
        for (int token : tokens) {
            if (token < 0 || token >= config().V()) {
                throw new IllegalArgumentException("Token id " + token + " is not in the vocabulary of V="
                        + config().V() + ": was the text encoded with another tokenizer?");
            }
        }
    }
}
