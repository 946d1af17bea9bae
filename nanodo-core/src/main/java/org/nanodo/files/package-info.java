/**
 * Directories that are written whole or not at all, the manifests that verify them, strict JSON, and small helpers that several
 * packages share. Begin with {@link org.nanodo.files.AtomicDirectory}. This package knows neither tensors nor text.
 */
package org.nanodo.files;
