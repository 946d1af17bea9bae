package org.nanodo.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import org.nanodo.runtime.NativeErrors;
import org.nanodo.tokenizer.Tokenizer;

/** Continues prompts one token at a time, with the keys and values of earlier tokens in a cache. */
public final class Generation {
    private final LanguageModel model;
    private final Tokenizer tokenizer;
    private final List<int[]> prompts = new ArrayList<>();
    private double temperature = 1;
    private int topK = Integer.MAX_VALUE;
    private double topP = 1;
    private Sampler sampler;
    private long seed;
    private int maxTokens = 256;
    private boolean sliding = true;
    private Consumer<String> listener;

    Generation(LanguageModel model, Tokenizer tokenizer, String... prompts) {
        tokenizer.checkFits(model.config().V());
        this.model = model;
        this.tokenizer = tokenizer;
        for (String prompt : prompts) {
            this.prompts.add(IntStream.concat(IntStream.of(tokenizer.bosId()), IntStream.of(tokenizer.encode(prompt)))
                    .toArray());
        }
        if (this.prompts.isEmpty()) {
            throw new IllegalArgumentException("There is no prompt: an empty one, \"\", starts from BOS alone");
        }
    }

    /** Divides the logits by the temperature; 0 always selects the likeliest token. Default 1. */
    public Generation temperature(double temperature) {
        this.temperature = temperature;
        return this;
    }

    /** Samples among the k likeliest tokens only. */
    public Generation topK(int k) {
        this.topK = k;
        return this;
    }

    /** Samples among the smallest set of tokens whose probabilities add up to p. */
    public Generation topP(double p) {
        this.topP = p;
        return this;
    }

    /** Replaces temperature, top-k and top-p. */
    public Generation sampler(Sampler sampler) {
        this.sampler = sampler;
        return this;
    }

    /** Sets the seed of the first prompt; each further prompt uses the next number. The same seed gives the same text. Default 0. */
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

    /**
     * Sets whether a text that outgrows the context continues from its last L - 1 tokens, which is the default, or is refused
     * before it starts. Beyond L every token costs a forward pass over all of them, since their positions change. The last
     * position is excluded because it has no target in training.
     */
    public Generation sliding(boolean sliding) {
        this.sliding = sliding;
        return this;
    }

    /** Sets a listener for each new piece of the first prompt's text, as soon as its characters are complete. */
    public Generation listen(Consumer<String> listener) {
        this.listener = listener;
        return this;
    }

    /** Runs a single prompt, and returns it with its continuation. */
    public String text() {
        return tokenizer.decode(tokens());
    }

    /** Runs, and returns each prompt with its continuation. */
    public List<String> texts() {
        return allTokens().stream().map(tokenizer::decode).toList();
    }

    /** Runs a single prompt, and returns all ids: BOS, prompt, continuation, and EOS if the model ended the text. */
    public int[] tokens() {
        if (prompts.size() > 1) {
            throw new IllegalStateException(prompts.size() + " prompts were given: call texts() or allTokens()");
        }
        return allTokens().get(0);
    }

    /** Runs, and returns the ids of each prompt with its continuation. */
    public List<int[]> allTokens() {
        Sampler sampler = this.sampler != null ? this.sampler : Sampler.of(temperature, topK, topP);
        int longest = prompts.stream().mapToInt(prompt -> prompt.length).max().orElseThrow();
        int context = Math.max(1, model.config().L() - 1);
        if (!sliding && (long) longest + maxTokens - 1 > context) {
            throw new IllegalArgumentException("A prompt of " + longest + " tokens and " + maxTokens
                    + " new ones outgrow the " + context + " that this model of L="
                    + model.config().L() + " continues: request fewer, or allow sliding");
        }
        int B = prompts.size();
        int[][] rows = new int[B][];
        int[] lengths = new int[B]; // all grow together: a row that has ended is padded
        int[] ends = new int[B]; // the length without padding, 0 until the row has ended
        var random = new RandomGenerator[B];
        for (int b = 0; b < B; b++) {
            lengths[b] = prompts.get(b).length;
            rows[b] = Arrays.copyOf(prompts.get(b), lengths[b] + 16);
            random[b] = new SplittableRandom(seed + b);
        }
        int heard = listener == null ? 0 : tokenizer.decode(prompts.get(0)).length();
        try (var use = ModelUse.inference(model.parameters());
                var decoder = new CachedDecoder(model, (int) Math.min(context, (long) longest + maxTokens))) {
            for (int n = 0; n < maxTokens && Arrays.stream(ends).anyMatch(end -> end == 0); n++) {
                float[][] logits = decoder.logits(rows, lengths);
                for (int b = 0; b < B; b++) {
                    if (lengths[b] == rows[b].length) {
                        rows[b] = Arrays.copyOf(rows[b], 2 * lengths[b]);
                    }
                    int next = ends[b] > 0 ? tokenizer.eosId() : sample(sampler, logits[b], random[b]);
                    rows[b][lengths[b]++] = next;
                    if (next == tokenizer.eosId() && ends[b] == 0) {
                        ends[b] = lengths[b];
                    }
                }
                if (listener != null) {
                    heard = tell(Arrays.copyOf(rows[0], lengths[0]), heard);
                }
            }
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "generation");
        }
        return IntStream.range(0, B)
                .mapToObj(b -> Arrays.copyOf(rows[b], ends[b] > 0 ? ends[b] : lengths[b]))
                .toList();
    }

    /** @throws IllegalStateException if the logits are not finite, or the sampler returns an invalid id */
    private static int sample(Sampler sampler, float[] logits, RandomGenerator random) {
        float max = Float.NEGATIVE_INFINITY;
        for (float logit : logits) {
            max = Math.max(max, logit); // NaN if one is
        }
        if (!Float.isFinite(max)) {
            throw new IllegalStateException("The largest of the model's logits is " + max
                    + ": its parameters are not finite, or too large, as after training that diverged");
        }
        int next = sampler.sample(logits, random);
        if (next < 0 || next >= logits.length) {
            throw new IllegalStateException(
                    "The sampler returned " + next + ", which is not a token id: they are 0 to " + (logits.length - 1));
        }
        return next;
    }

    /** Passes new text to the listener, and returns the number of characters passed so far. */
    private int tell(int[] tokens, int heard) {
        String text = tokenizer.decode(tokens);
        if (text.endsWith("\uFFFD") || text.length() <= heard) { // U+FFFD replaces an incomplete character
            return heard;
        }
        listener.accept(text.substring(heard));
        return text.length();
    }
}
