package org.nanodo.runtime;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.DataPtr;
import org.bytedeco.pytorch.StorageImpl;
import org.bytedeco.pytorch.Tensor;

/**
 * Replaces the memory of tensors. The views that autograd keeps from the forward to the backward pass share the storage, and so
 * use the new memory too.
 */
public final class Storages {
    private Storages() {}

    /** Lets a tensor and all its views use the memory of another of equal length and type, which must outlive that use. */
    public static void lend(Tensor tensor, Tensor memory) {
        put(tensor, memory.data_ptr(), memory.nbytes());
    }

    /** Removes a tensor's memory, and frees it if the tensor owns it. The tensor must not be used then. */
    public static void drop(Tensor tensor) {
        put(tensor, null, 0);
    }

    private static void put(Tensor tensor, Pointer memory, long bytes) {
        try (var scope = Scope.open()) {
            StorageImpl storage = tensor.storage().unsafeGetStorageImpl();
            storage.set_data_ptr_noswap(new DataPtr(memory, tensor.device()));
            storage.set_nbytes(bytes);
        }
    }
}
