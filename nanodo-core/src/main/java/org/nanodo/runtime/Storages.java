package org.nanodo.runtime;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.DataPtr;
import org.bytedeco.pytorch.StorageImpl;
import org.bytedeco.pytorch.Tensor;

/**
 * Moves the memory from under tensors. Autograd keeps views of them from the forward to the backward pass, and these find
 * their memory wherever it is by then.
 */
public final class Storages {
    private Storages() {}

    /** Lets a tensor and all its views live in the memory of another, as long and of the same type, which has to outlive that. */
    public static void lend(Tensor tensor, Tensor memory) {
        put(tensor, memory.data_ptr(), memory.nbytes());
    }

    /** Takes a tensor's memory away and frees it if it was the tensor's own. To use it then is an error. */
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
