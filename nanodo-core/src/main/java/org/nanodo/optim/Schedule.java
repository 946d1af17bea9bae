package org.nanodo.optim;

/** The learning rate as a function of the number of updates made so far. */
@FunctionalInterface
public interface Schedule {
    double at(long step);

    static Schedule constant(double rate) {
        return step -> rate;
    }

    /** Returns a line from one rate to another over this number of steps, then constant. */
    static Schedule linear(double from, double to, long steps) {
        return step -> step >= steps ? to : from + (to - from) * step / steps;
    }

    /** Returns half a cosine from one rate down to another over this number of steps, then constant. */
    static Schedule cosine(double from, double to, long steps) {
        return step -> step >= steps ? to : to + (from - to) * (1 + Math.cos(Math.PI * step / steps)) / 2;
    }

    /** Returns peak · √(shift / (step + shift)), as in T5 and NanoDO, where shift is the number of warmup steps plus 1. */
    static Schedule rsqrt(double peak, long shift) {
        return step -> peak * Math.sqrt((double) shift / (step + shift));
    }

    /** Returns this schedule for a number of steps, followed by another that starts at its own step 0. */
    default Schedule then(long steps, Schedule next) {
        return step -> step < steps ? at(step) : next.at(step - steps);
    }

    /** Returns a linear warmup from init to peak, then half a cosine that reaches end after totalSteps. */
    static Schedule warmupCosine(double init, double peak, double end, long warmupSteps, long totalSteps) {
        return linear(init, peak, warmupSteps).then(warmupSteps, cosine(peak, end, decay(warmupSteps, totalSteps)));
    }

    /** Returns a linear warmup from init to peak, then a line that reaches end after totalSteps. */
    static Schedule warmupLinear(double init, double peak, double end, long warmupSteps, long totalSteps) {
        return linear(init, peak, warmupSteps).then(warmupSteps, linear(peak, end, decay(warmupSteps, totalSteps)));
    }

    /** Returns a linear warmup from init to peak, then decay by the inverse square root of the step. */
    static Schedule warmupRsqrt(double init, double peak, long warmupSteps) {
        return linear(init, peak, warmupSteps).then(warmupSteps, rsqrt(peak, warmupSteps + 1));
    }

    /** Returns a linear warmup from init to peak, then constant. */
    static Schedule warmupConstant(double init, double peak, long warmupSteps) {
        return linear(init, peak, warmupSteps).then(warmupSteps, constant(peak));
    }

    /**
     * Returns a linear warmup from init to peak, a constant part, and a line down to end over the last {@code decaySteps} of
     * totalSteps: NanoDO's {@code constant_linear_decay}.
     */
    static Schedule warmupConstantLinear(
            double init, double peak, double end, long warmupSteps, long decaySteps, long totalSteps) {
        long constantSteps = decay(warmupSteps, totalSteps) - decaySteps;
        if (decaySteps < 0 || constantSteps < 0) {
            throw new IllegalArgumentException("A warmup of " + warmupSteps + " steps and a decay of " + decaySteps
                    + " do not fit into " + totalSteps + " steps");
        }
        return linear(init, peak, warmupSteps)
                .then(warmupSteps, constant(peak).then(constantSteps, linear(peak, end, decaySteps)));
    }

    private static long decay(long warmupSteps, long totalSteps) {
        if (warmupSteps < 0 || warmupSteps > totalSteps) {
            throw new IllegalArgumentException(
                    "A warmup of " + warmupSteps + " steps does not fit into " + totalSteps + " steps");
        }
        return totalSteps - warmupSteps;
    }
}
