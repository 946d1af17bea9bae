package org.nanodo.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.NativeErrors;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.tokenizer.Tokenizer;

/**
 * A decoder-only language model: a function from tokens to logits of the next ones. Most are {@link BlockModel}s.
 *
 * <p>Threads: any number of threads may infer with a model at the same time. While a trainer runs, only its thread may infer, and
 * calls on other threads are refused. A closed model still knows its config and the names and shapes of its parameters;
 * everything that needs their values throws an {@link IllegalStateException}, also in calls in progress, whose memory is freed
 * only when they end.
 */
public interface LanguageModel extends AutoCloseable {
    /** A function with parameters from the residual stream, x_BxLxD, to the residual stream. */
    interface Block {
        /** Returns the parameters of this block. Blocks may share parameters. */
        List<Parameter> parameters();

        Tensor forward(Tensor x_BxLxD, ForwardPass pass);
    }

    /** Returns the sizes. */
    TransformerConfig config();

    /** Returns everything that defines this model except the values of its parameters. */
    ModelSpec spec();

    Device device();

    /** Returns all parameters in a stable order. */
    List<Parameter> parameters();

    /** Returns float32 logits y_BxLxV of the next token at each position of y_BxL. */
    Tensor forward(Tensor y_BxL, ForwardPass pass);

    /** Returns the logits after the last column, y_Bx1xV. */
    default Tensor nextLogits(Tensor y_BxL, PlainPass pass) {
        return forward(y_BxL, pass).narrow(1, y_BxL.size(1) - 1, 1);
    }

    /**
     * Returns whether attention is the only way in which a token depends on earlier ones, so that decoding may cache keys and
     * values and compute each new token alone. Otherwise it computes all tokens again for each new one.
     */
    default boolean mixesByAttentionOnly() {
        return true;
    }

    /** Frees the parameters at once, or when the calls that use them have ended. Closing a model again has no effect. */
    @Override
    default void close() {
        parameters().forEach(Parameter::close);
    }

    /** Reads a model of any kind, which {@link #save} or a checkpoint has written, onto the CPU. */
    static LanguageModel load(Path directory) throws IOException {
        return load(directory, Device.cpu());
    }

    static LanguageModel load(Path directory, Device device) throws IOException {
        return ModelFiles.load(directory, device, LanguageModel.class);
    }

    /** Writes a new directory with the config and the parameters, as inference and fine-tuning need them. */
    default void save(Path directory) throws IOException {
        ModelFiles.save(this, directory);
    }

    default long parameterCount() {
        return parameters().stream().mapToLong(Parameter::numel).sum();
    }

    /**
     * Returns the floating-point operations of a forward and backward pass per token, for MFU: six per parameter (Kaplan et al.
     * 2020). Products of activations, as in attention, and recomputation are not counted.
     */
    default double flopsPerToken() {
        return 6.0 * parameterCount();
    }

    /**
     * Returns float32 logits y_BxLxV of the next token at each position of y_BxL. Records gradients unless they are switched off
     * with {@link Grad#off()}.
     */
    default Tensor forward(Tensor y_BxL) {
        try (var use = ModelUse.inference(parameters());
                var scope = Scope.open();
                var pass = PlainPass.over(this, y_BxL)) {
            return scope.export(forward(y_BxL, pass));
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a forward pass");
        }
    }

    /**
     * Returns the log-probability, in nats, of each token but the first given the tokens before it: L - 1 numbers for L tokens.
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
            return IntStream.range(0, values.length).mapToDouble(i -> values[i]).toArray();
        }
    }

    /**
     * Prepares continuations of one or several texts; an empty text starts from BOS alone:
     * {@code model.generate(tokenizer, "a").text()}.
     */
    default Generation generate(Tokenizer tokenizer, String... prompts) {
        return new Generation(this, tokenizer, prompts);
    }

    /** @throws IllegalArgumentException if there are no tokens or more than L, or if an id is not in the vocabulary */
    default void checkTokens(int... tokens) {
        if (tokens.length == 0 || tokens.length > config().L()) {
            throw new IllegalArgumentException(tokens.length + " tokens: this model accepts 1 to L=" + config().L());
        }
        for (int token : tokens) {
            if (token < 0 || token >= config().V()) {
                throw new IllegalArgumentException("Token id " + token + " is not in the vocabulary of V="
                        + config().V() + ": was the text encoded with another tokenizer?");
            }
        }
    }
}
