/**
 * Where documents come from: texts, files, JSON lines, Parquet and token files, read by shard or by number. Begin with
 * {@link org.nanodo.source.TextSource}. Knows nothing of batches, epochs or order.
 */
package org.nanodo.source;
