/**
 * How documents become batches: mixtures, shuffling, Noam packing, and positions that a run resumes from. Begin with
 * {@link org.nanodo.data.PackedDataset}; {@link org.nanodo.data.Rows} does the packing. Knows no model.
 */
package org.nanodo.data;
