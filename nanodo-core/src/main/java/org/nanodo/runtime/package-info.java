/**
 * LibTorch on the JVM: loading its libraries, memory scopes, devices, and the few tensor operations that the bindings make awkward.
 * Begin with {@link org.nanodo.runtime.Scope} and {@link org.nanodo.runtime.Tensors}. Knows no model and no file format of ours.
 */
package org.nanodo.runtime;
