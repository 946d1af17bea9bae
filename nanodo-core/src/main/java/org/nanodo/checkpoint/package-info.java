/**
 * Named tensors on disk: safetensors, sets of them that several ranks wrote, and a rotating store. Begin with
 * {@link org.nanodo.checkpoint.CheckpointStore}. Knows no model: what a checkpoint holds is decided by its callers.
 */
package org.nanodo.checkpoint;
