/**
 * LibTorch on the JVM: loading its libraries, memory scopes, devices, and the few tensor operations that the bindings make awkward.
 * Begin with {@link org.nanodo.runtime.Scope} and {@link org.nanodo.runtime.Tensors}. This package knows no model and no file format.
 */
package org.nanodo.runtime;
