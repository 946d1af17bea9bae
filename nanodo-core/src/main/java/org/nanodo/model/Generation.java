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

/** Continuations of prompts, one token at a time, with keys and values of earlier tokens kept. */
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

    /** The same seed gives the same text. With several prompts, each gets the seed after the one before. Default 0. */
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
     * Whether a text that outgrows the model goes on from its last L - 1 tokens, as is the default, or is refused before it
     * starts. Beyond L every token costs a forward pass over all of them, since their positions change. The last position
     * is left out because it has no target in training.
     */
    public Generation sliding(boolean sliding) {
        this.sliding = sliding;
        return this;
    }

    /** Hears each piece of new text, of the first prompt where there are several, as soon as its characters are whole. */
    public Generation listen(Consumer<String> listener) {
        this.listener = listener;
        return this;
    }

    /** Runs, and returns prompt and continuation. For a single prompt. */
    public String text() {
        return tokenizer.decode(tokens());
    }

    /** Runs, and returns each prompt with its continuation. */
    public List<String> texts() {
        return allTokens().stream().map(tokenizer::decode).toList();
    }

    /** Runs, and returns all ids: BOS, prompt, continuation, and EOS if the model ended the text. For a single prompt. */
    public int[] tokens() {
        if (prompts.size() > 1) {
            throw new IllegalStateException(prompts.size() + " prompts were given: ask for texts() or allTokens()");
        }
        return allTokens().get(0);
    }

    /** Runs, and returns the ids of each prompt with its continuation. */
    public List<int[]> allTokens() {
        Sampler pick = sampler != null ? sampler : Sampler.of(temperature, topK, topP);
        int longest = prompts.stream().mapToInt(prompt -> prompt.length).max().orElseThrow();
        int most = Math.max(1, model.config().L() - 1);
        if (!sliding && (long) longest + maxTokens - 1 > most) {
            throw new IllegalArgumentException("A prompt of " + longest + " tokens and " + maxTokens
                    + " new ones outgrow the " + most + " that this model of L="
                    + model.config().L() + " continues: ask for fewer, or let the text slide");
        }
        int B = prompts.size();
        int[][] rows = new int[B][];
        int[] lengths = new int[B];
        boolean[] ended = new boolean[B];
        var random = new RandomGenerator[B];
        for (int b = 0; b < B; b++) {
            rows[b] = prompts.get(b).clone();
            lengths[b] = rows[b].length;
            random[b] = new SplittableRandom(seed + b);
        }
        int heard = listener == null ? 0 : tokenizer.decode(prompts.get(0)).length();
        try (var use = ModelUse.inference(model.parameters());
                var decoder = new CachedDecoder(model, (int) Math.min(most, (long) longest + maxTokens))) {
            for (int n = 0; n < maxTokens && !all(ended); n++) {
                float[][] logits = decoder.logits(rows, lengths);
                for (int b = 0; b < B; b++) {
                    int next = ended[b] ? tokenizer.eosId() : next(pick, logits[b], random[b]);
                    if (lengths[b] == rows[b].length) {
                        rows[b] = Arrays.copyOf(rows[b], 2 * lengths[b]);
                    }
                    rows[b][lengths[b]++] = next;
                    ended[b] |= next == tokenizer.eosId();
                }
                if (listener != null) {
                    heard = tell(Arrays.copyOf(rows[0], lengths[0]), heard);
                }
            }
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "generation");
        }
        var all = new ArrayList<int[]>();
        for (int b = 0; b < B; b++) {
            all.add(Arrays.copyOf(rows[b], end(rows[b], prompts.get(b).length, lengths[b])));
        }
        return all;
    }

    /** @throws IllegalStateException if the logits are not finite, or the sampler gives what is no token */
    private int next(Sampler pick, float[] logits, RandomGenerator random) {
        float max = Float.NEGATIVE_INFINITY;
        for (float logit : logits) {
            max = Math.max(max, logit); // NaN if one is
        }
        if (!Float.isFinite(max)) {
            throw new IllegalStateException("The largest of the model's logits is " + max
                    + ": its parameters are not finite, or too large, as after a training that diverged");
        }
        int next = pick.sample(logits, random);
        if (next < 0 || next >= logits.length) {
            throw new IllegalStateException(
                    "The sampler gave " + next + ", which is no token id: they are 0 to " + (logits.length - 1));
        }
        return next;
    }

    /** Tells the listener what is new, and returns the characters told so far. */
    private int tell(int[] tokens, int heard) {
        String text = tokenizer.decode(tokens);
        if (text.endsWith("\uFFFD") || text.length() <= heard) { // which stands for bytes still to come
            return heard;
        }
        listener.accept(text.substring(heard));
        return text.length();
    }

    /** Rows that end before the others are filled up with EOS. */
    private int end(int[] row, int promptLength, int length) {
        for (int i = promptLength; i < length; i++) {
            if (row[i] == tokenizer.eosId()) {
                return i + 1;
            }
        }
        return length;
    }

    private static boolean all(boolean[] values) {
        for (boolean value : values) {
            if (!value) {
                return false;
            }
        }
        return true;
    }
}
