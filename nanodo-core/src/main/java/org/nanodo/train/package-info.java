/**
 * Training: {@link org.nanodo.train.Trainer} is the loop, {@link org.nanodo.train.TrainStep} one step of it, and
 * {@link org.nanodo.train.BlockWalk} the forward and backward pass. Start with {@code TrainStep}. This package does not know how
 * ranks communicate, which is a {@link org.nanodo.runtime.Collectives}, or how a model is sharded, which is an
 * {@link org.nanodo.train.Engine}.
 */
package org.nanodo.train;
