/**
 * The sources of documents: texts, files, JSON lines, Parquet and token files, read by shard or by number. Start with
 * {@link org.nanodo.source.TextSource}. This package does not know about batches, epochs or order.
 */
package org.nanodo.source;
