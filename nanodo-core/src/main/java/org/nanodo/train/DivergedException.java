package org.nanodo.train;

/** Thrown when a loss or gradient was infinite or not a number. The step was not applied. */
public final class DivergedException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final long step;

    DivergedException(long step, double loss, double norm) {
        super("Step " + step + " was not applied: loss " + loss + ", gradient norm " + norm
                + ". Lower the learning rate, clip gradients, or look at the data of that step.");
        this.step = step;
    }

    /** Returns the step that failed. The parameters are those after the step before it. */
    public long step() {
        return step;
    }
}
