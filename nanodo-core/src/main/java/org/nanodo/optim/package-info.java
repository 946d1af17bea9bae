/**
 * Update rules and learning rate schedules. Start with {@link org.nanodo.optim.AdamW}; a rule of your own implements
 * {@link org.nanodo.optim.Optimizer}, most easily as {@link org.nanodo.optim.Lion} does. This package knows parameters and
 * ranks, but neither losses nor data.
 */
package org.nanodo.optim;
