package org.nanodo.model;

import java.util.Arrays;
import java.util.random.RandomGenerator;

/** Selects the next token by the logits of the whole vocabulary. */
@FunctionalInterface
public interface Sampler {
    /** Selects the likeliest token. */
    Sampler ARGMAX = (logits, random) -> {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            best = logits[i] > logits[best] ? i : best;
        }
        return best;
    };

    /** @param logits one number per token of the vocabulary */
    int sample(float[] logits, RandomGenerator random);

    /**
     * Samples from softmax(logits / temperature) over the k likeliest tokens, and of those over the smallest set whose
     * probabilities add up to p (nucleus sampling, Holtzman et al. 2020). Tokens as likely as the last one of the set belong to it.
     *
     * @param temperature 0 is {@link #ARGMAX}
     * @param k at least 1; the vocabulary's size or more is no limit
     * @param p above 0; 1 is no limit
     */
    static Sampler of(double temperature, int k, double p) {
        if (!(temperature >= 0) || k < 1 || !(p > 0 && p <= 1)) {
            throw new IllegalArgumentException("Sampling requires temperature ≥ 0, top-k ≥ 1 and 0 < top-p ≤ 1, not "
                    + temperature + ", " + k + " and " + p);
        }
        return temperature == 0
                ? ARGMAX
                : (logits, random) -> {
                    double[] weights = weights(logits, temperature);
                    double floor = floor(weights, k, p);
                    double total = 0;
                    for (double weight : weights) {
                        total += weight >= floor ? weight : 0;
                    }
                    double point = random.nextDouble() * total;
                    int chosen = -1;
                    for (int i = 0; i < weights.length && point >= 0; i++) {
                        if (weights[i] >= floor) {
                            chosen = i;
                            point -= weights[i];
                        }
                    }
                    return chosen;
                };
    }

    /** Returns softmax(logits / temperature) before normalisation. */
    private static double[] weights(float[] logits, double temperature) {
        float max = Float.NEGATIVE_INFINITY;
        for (float logit : logits) {
            max = Math.max(max, logit);
        }
        double[] weights = new double[logits.length];
        for (int i = 0; i < weights.length; i++) {
            weights[i] = Math.exp((logits[i] - max) / temperature);
        }
        return weights;
    }

    /** Returns the smallest weight that may be sampled. */
    private static double floor(double[] weights, int k, double p) {
        int candidates = Math.min(k, weights.length);
        if (candidates == weights.length && p == 1) {
            return Double.MIN_VALUE;
        }
        double[] rising = weights.clone();
        Arrays.sort(rising);
        double total = 0;
        for (int i = 1; i <= candidates; i++) {
            total += rising[rising.length - i];
        }
        double nucleus = 0;
        for (int i = 1; i < candidates; i++) {
            nucleus += rising[rising.length - i];
            if (p < 1 && nucleus >= p * total) {
                return rising[rising.length - i];
            }
        }
        return rising[rising.length - candidates];
    }
}
