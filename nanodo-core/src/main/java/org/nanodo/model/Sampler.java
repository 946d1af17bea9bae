package org.nanodo.model;

import java.util.Arrays;
import java.util.random.RandomGenerator;

/** Picks the next token from the logits of the whole vocabulary. */
@FunctionalInterface
public interface Sampler {
    /** The likeliest token. */
    Sampler ARGMAX = (logits, random) -> {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            best = logits[i] > logits[best] ? i : best;
        }
        return best;
    };

    /** @param logits one number a token; the sampler may overwrite them */
    int sample(float[] logits, RandomGenerator random);

    /**
     * Samples from softmax(logits / temperature), cut down to the k likeliest tokens, then to the fewest whose
     * probabilities add up to p (nucleus sampling, Holtzman et al. 2020).
     *
     * @param temperature 0 is {@link #ARGMAX}
     * @param k at least 1; the vocabulary's size or more cuts nothing
     * @param p above 0; 1 cuts nothing
     */
    static Sampler of(double temperature, int k, double p) {
        if (!(temperature >= 0) || k < 1 || !(p > 0 && p <= 1)) {
            throw new IllegalArgumentException("Sampling wants temperature ≥ 0, top-k ≥ 1 and 0 < top-p ≤ 1, not "
                    + temperature + ", " + k + " and " + p);
        }
        return temperature == 0
                ? ARGMAX
                : (logits, random) -> {
                    Integer[] order = null;
                    int candidates = Math.min(k, logits.length);
                    if (candidates < logits.length || p < 1) {
                        order = new Integer[logits.length];
                        Arrays.setAll(order, i -> i);
                        Arrays.sort(order, (a, b) -> Float.compare(logits[b], logits[a]));
                    }
                    float max = logits[ARGMAX.sample(logits, random)];
                    var weights = new double[candidates];
                    double total = 0;
                    for (int i = 0; i < candidates; i++) {
                        weights[i] = Math.exp((logits[order == null ? i : order[i]] - max) / temperature);
                        total += weights[i];
                    }
                    double nucleus = 0;
                    for (int i = 0; p < 1 && i < candidates; i++) {
                        nucleus += weights[i];
                        if (nucleus >= p * total) {
                            candidates = i + 1;
                            total = nucleus;
                        }
                    }
                    double point = random.nextDouble() * total;
                    int chosen = 0;
                    while (chosen < candidates - 1 && (point -= weights[chosen]) >= 0) {
                        chosen++;
                    }
                    return order == null ? chosen : order[chosen];
                };
    }
}
