/**
 * Named tensors on disk: safetensors files, sets of tensors that several ranks write, and the rotating store of a run's checkpoints.
 * Begin with {@link org.nanodo.checkpoint.CheckpointStore}. This package knows no models: its callers decide what a checkpoint holds.
 */
package org.nanodo.checkpoint;
