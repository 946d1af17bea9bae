/**
 * Update rules and learning rate schedules. Begin with {@link org.nanodo.optim.AdamW}; a rule of your own implements
 * {@link org.nanodo.optim.Optimizer}. Knows parameters and ranks, but no loss and no data.
 */
package org.nanodo.optim;
