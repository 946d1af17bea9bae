package org.nanodo.model;

import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.random.RandomGenerator;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.data.Tokenizer;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * A continuation of a prompt, one token at a time. A text that outgrows the model goes on from its last L - 1 tokens: the
 * last position has no target in training, so it never learns to predict.
 */
public final class Generation {
    private final LanguageModel model;
    private final Tokenizer tokenizer;
    private final int[] prompt;
    private double temperature = 1;
    private int topK = Integer.MAX_VALUE;
    private double topP = 1;
    private Sampler sampler;
    private long seed;
    private int maxTokens = 256;
    private Consumer<String> listener = text -> {};

    Generation(LanguageModel model, Tokenizer tokenizer, String prompt) {
        tokenizer.checkFits(model.config().V());
        this.model = model;
        this.tokenizer = tokenizer;
        int[] ids = tokenizer.encode(prompt);
        this.prompt = new int[ids.length + 1];
        this.prompt[0] = tokenizer.bosId();
        System.arraycopy(ids, 0, this.prompt, 1, ids.length);
    }

    /** Divides the logits; 0 always takes the likeliest token. Default 1. */
    public Generation temperature(double temperature) {
        this.temperature = temperature;
        return this;
    }

    /** Samples among the k likeliest tokens only. */
    public Generation topK(int k) {
        this.topK = k;
        return this;
    }

    /** Samples among the fewest tokens whose probabilities add up to p. */
    public Generation topP(double p) {
        this.topP = p;
        return this;
    }

    /** Replaces temperature, top-k and top-p. */
    public Generation sampler(Sampler sampler) {
        this.sampler = sampler;
        return this;
    }

    /** The same seed gives the same text. Default 0. */
    public Generation seed(long seed) {
        this.seed = seed;
        return this;
    }

    public Generation maxTokens(int maxTokens) {
        if (maxTokens < 0) {
            throw new IllegalArgumentException("maxTokens is " + maxTokens + ", it cannot be negative");
        }
        this.maxTokens = maxTokens;
        return this;
    }

    /** Hears each piece of new text as soon as its characters are whole. */
    public Generation listen(Consumer<String> listener) {
        this.listener = listener;
        return this;
    }

    /** Runs, and returns prompt and continuation. */
    public String text() {
        return tokenizer.decode(tokens());
    }

    /** Runs, and returns all ids: BOS, prompt, continuation, and EOS if the model ended the text. */
    public int[] tokens() {
        Sampler pick = sampler != null ? sampler : Sampler.of(temperature, topK, topP);
        RandomGenerator random = new SplittableRandom(seed);
        int[] tokens = Arrays.copyOf(prompt, prompt.length + maxTokens);
        int heard = tokenizer.decode(prompt).length();
        for (int n = prompt.length; n < tokens.length; n++) {
            int context = Math.min(n, Math.max(1, model.config().L() - 1));
            tokens[n] = pick.sample(nextLogits(Arrays.copyOfRange(tokens, n - context, n)), random);
            if (tokens[n] == tokenizer.eosId()) {
                return Arrays.copyOf(tokens, n + 1);
            }
            String text = tokenizer.decode(Arrays.copyOf(tokens, n + 1));
            if (!text.endsWith("\uFFFD") && text.length() > heard) { // which stands for bytes still to come
                listener.accept(text.substring(heard));
                heard = text.length();
            }
        }
        return tokens;
    }

    private float[] nextLogits(int[] context) {
        model.checkTokens(context);
        try (var scope = Scope.open();
                var off = Grad.off()) {
            Tensor y_BxLxD = model.hidden(Tensors.ids(model.device(), context, 1, context.length));
            return Tensors.toFloats(model.head(y_BxLxD.narrow(1, context.length - 1, 1)));
        }
    }
}
