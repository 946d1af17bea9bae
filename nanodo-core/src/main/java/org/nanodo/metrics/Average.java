package org.nanodo.metrics;

/**
 * The mean and spread of numbers that arrive in parts, without the cancellation of sums of squares (Chan, Golub and LeVeque
 * 1983).
 *
 * @param m2 the sum of the squared distances from the mean
 */
public record Average(double count, double mean, double m2) {
    public static final Average NONE = new Average(0, 0, 0);

    /** Averages the values whose weight is not zero. */
    public static Average of(float[] values, float[] weights) {
        double count = 0;
        double sum = 0;
        for (int i = 0; i < values.length; i++) {
            count += weights[i] != 0 ? 1 : 0;
            sum += weights[i] != 0 ? values[i] : 0;
        }
        if (count == 0) {
            return NONE;
        }
        double mean = sum / count;
        double m2 = 0;
        for (int i = 0; i < values.length; i++) {
            m2 += weights[i] != 0 ? (values[i] - mean) * (values[i] - mean) : 0;
        }
        return new Average(count, mean, m2);
    }

    public Average merge(Average other) {
        if (other.count == 0) {
            return this;
        }
        double total = count + other.count;
        double delta = other.mean - mean;
        return new Average(
                total, mean + delta * other.count / total, m2 + other.m2 + delta * delta * count * other.count / total);
    }

    /** Returns the standard error of the mean. */
    public double standardError() {
        return Math.sqrt(m2 / count / count);
    }
}
