/**
 * Training: {@link org.nanodo.train.Trainer} is the loop, {@link org.nanodo.train.TrainStep} one step of it,
 * {@link org.nanodo.train.BlockWalk} the forward and backward pass. Begin with {@code TrainStep}. Knows one process: ranks are a
 * {@link org.nanodo.runtime.Collectives}, sharding is an {@link org.nanodo.train.Engine}.
 */
package org.nanodo.train;
