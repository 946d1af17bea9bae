package org.nanodo.distributed;

import java.time.Duration;
import org.bytedeco.cuda.global.nccl;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * Collectives between GPUs, one per rank, over NCCL. They run on a stream of their own, beside LibTorch's computation. Only
 * {@link #barrier} and {@link #close} block the host. Use an instance from one thread.
 *
 * <p>Since the host runs ahead, it may learn of a failure late, and anything computed meanwhile from a collective that did not
 * complete is worthless. The first call of any of these methods after the failure throws, so call {@link #barrier} before you
 * keep a result.
 */
public final class NcclCollectives extends PeerCollectives {
    private final Device device;
    private final NcclCommunicator communicator;
    private final Tensor token;

    private NcclCollectives(Device device, NcclCommunicator communicator) {
        super(communicator.peers);
        this.device = device;
        this.communicator = communicator;
        this.token = Scope.keep(Tensors.zeros(device, 1));
    }

    /**
     * Connects the ranks. Every rank must call this equally often and in the same order.
     *
     * @param store where the ranks meet; it must outlive the result
     * @param timeout the time limit of each collective, counted from the end of the previous one, and of the arrival of all ranks
     * @throws CollectiveException if not all ranks arrive in time, or NCCL fails
     * @throws IllegalStateException if NCCL or the CUDA device is missing
     */
    public static NcclCollectives of(Store store, int rank, int world, Device device, Duration timeout) {
        Natives.start();
        return new NcclCollectives(device, NcclCommunicator.open(store, rank, world, device, timeout));
    }

    @Override
    public Handle allGather(Tensor whole_WxS, Tensor shard_S) {
        int type = typeOfShards("allGather", whole_WxS, shard_S);
        return communicator.launch(
                "allGather",
                (comm, stream) -> nccl.ncclAllGather(
                        shard_S.data_ptr(), whole_WxS.data_ptr(), shard_S.numel(), type, comm, stream),
                whole_WxS,
                shard_S);
    }

    @Override
    public Handle reduceScatter(Tensor sum_S, Tensor whole_WxS) {
        int type = typeOfShards("reduceScatter", whole_WxS, sum_S);
        return communicator.launch(
                "reduceScatter",
                (comm, stream) -> nccl.ncclReduceScatter(
                        whole_WxS.data_ptr(), sum_S.data_ptr(), sum_S.numel(), type, nccl.ncclSum, comm, stream),
                sum_S,
                whole_WxS);
    }

    @Override
    public Handle allReduce(Tensor sum) {
        int type = ncclType("allReduce", sum);
        return communicator.launch(
                "allReduce",
                (comm, stream) -> nccl.ncclAllReduce(
                        sum.data_ptr(), sum.data_ptr(), sum.numel(), type, nccl.ncclSum, comm, stream),
                sum);
    }

    @Override
    public Handle broadcast(Tensor tensor, int root) {
        int type = ncclType("broadcast", tensor);
        checkRoot(root);
        return communicator.launch(
                "broadcast",
                (comm, stream) -> nccl.ncclBroadcast(
                        tensor.data_ptr(), tensor.data_ptr(), tensor.numel(), type, root, comm, stream),
                tensor);
    }

    @Override
    public void barrier() {
        allReduce(token).await();
        communicator.synchronize();
    }

    /** Waits for the collectives under way, within the time limit. */
    @Override
    public void close() {
        communicator.close();
        token.close();
    }

    private int typeOfShards(String name, Tensor whole_WxS, Tensor shard_S) {
        checkShards(name, whole_WxS, shard_S);
        int type = ncclType(name, shard_S);
        if (ncclType(name, whole_WxS) != type) {
            throw new IllegalArgumentException(name + ": the whole is of type " + Tensors.type(whole_WxS)
                    + " and the shard of " + Tensors.type(shard_S));
        }
        return type;
    }

    /** Returns NCCL's type of a tensor, and checks what NCCL, which gets addresses and counts only, cannot. */
    private int ncclType(String name, Tensor tensor) {
        checkContiguous(name, tensor);
        if (tensor.is_cpu() != device.isCpu()) {
            throw new IllegalArgumentException(name + " requires tensors on " + device);
        }
        return switch (Tensors.type(tensor)) {
            case Byte -> nccl.ncclUint8;
            case Int -> nccl.ncclInt32;
            case Long -> nccl.ncclInt64;
            case Half -> nccl.ncclFloat16;
            case BFloat16 -> nccl.ncclBfloat16;
            case Float -> nccl.ncclFloat32;
            case Double -> nccl.ncclFloat64;
            default ->
                throw new IllegalArgumentException(name + " does not support tensors of type " + Tensors.type(tensor));
        };
    }
}
