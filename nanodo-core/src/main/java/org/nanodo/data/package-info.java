/**
 * The packing of documents into batches: mixtures, shuffling, Noam packing, and positions from which a run resumes. Start with
 * {@link org.nanodo.data.PackedDataset}; {@link org.nanodo.data.Rows} does the packing. This package does not know about models.
 */
package org.nanodo.data;
