package org.nanodo.train;

/**
 * Brings a model's parameters where a walk over it needs them, and takes them away again, unit by unit. A unit is a block, by
 * its number, or {@link #ROOT}: all that is in no block, thus embeddings, last normalisation and head.
 *
 * <p>Forward, a walk enters the root and then enters and leaves each block. Without a backward pass it leaves the root then.
 * Otherwise it enters the root backward, for the head and the loss, enters and leaves each block from the last to the
 * first, and leaves the root backward.
 */
public interface Residency {
    int ROOT = -1;

    enum Pass {
        FORWARD,
        BACKWARD
    }

    /** All parameters are there all the time. */
    Residency ALWAYS = new Residency() {
        @Override
        public void enter(int unit, Pass pass) {}

        @Override
        public void leave(int unit, Pass pass) {}
    };

    /** Returns when the unit's parameters can be used. */
    void enter(int unit, Pass pass);

    /** The pass needs them no more. Leaving backward, their gradients are complete. */
    void leave(int unit, Pass pass);
}
