package org.nanodo.train;

/**
 * Makes the parameters of one unit of a model available to a {@link BlockWalk} while it needs them. A unit is a block, given by
 * its index, or {@link #ROOT}: the parameters outside of blocks, which are embeddings, last normalisation and head.
 *
 * <p>A walk enters the root forward, then enters and leaves each block forward. Without a backward pass it then leaves the root.
 * Otherwise it enters the root backward, for the head and the loss, enters and leaves each block backward, from the last to the
 * first, and leaves the root backward.
 */
public interface Residency {
    int ROOT = -1;

    enum Direction {
        FORWARD,
        BACKWARD
    }

    /** All parameters are available all the time. */
    Residency ALWAYS = new Residency() {};

    /** Makes the unit's parameters available and returns when they can be used. */
    default void enter(int unit, Direction direction) {}

    /** Ends the use of the unit's parameters in this direction. After the backward pass their gradients are complete. */
    default void leave(int unit, Direction direction) {}
}
