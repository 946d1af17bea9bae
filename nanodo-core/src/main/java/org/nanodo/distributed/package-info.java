/**
 * Training by several processes: their rendezvous, collectives over Gloo and NCCL, and FSDP. Begin with {@link
 * org.nanodo.distributed.Fsdp}; the model and the training loop do not know of this package.
 */
package org.nanodo.distributed;
