/**
 * Several processes: how they meet, Gloo and NCCL, and FSDP. Begin with {@link org.nanodo.distributed.Fsdp}; nothing of the model
 * or the training loop knows that it is there.
 */
package org.nanodo.distributed;
