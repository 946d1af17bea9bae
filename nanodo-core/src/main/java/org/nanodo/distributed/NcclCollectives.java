package org.nanodo.distributed;

import java.time.Duration;
import org.bytedeco.cuda.global.nccl;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * Collectives between GPUs, one a rank, by NCCL on a stream of its own: they run beside what LibTorch computes. Nothing
 * waits on the host but {@link #barrier} and {@link #close}. Use it from one thread.
 *
 * <p>Since the host runs ahead, it may learn of a failure late: what it computed meanwhile from a collective that never
 * ended is worthless. The first call of any of these methods after that throws, so have a {@link #barrier} before you keep a result.
 */
public final class NcclCollectives implements Collectives {
    private final int rank;
    private final int world;
    private final Device device;
    private final NcclCommunicator communicator;
    private final Tensor token;

    private NcclCollectives(int rank, int world, Device device, NcclCommunicator communicator) {
        this.rank = rank;
        this.world = world;
        this.device = device;
        this.communicator = communicator;
        this.token = Scope.keep(Tensors.zeros(device, 1));
    }

    /**
     * Brings the ranks together. Every rank calls this, as often and in the same order.
     *
     * @param store where they meet, which must outlive the result
     * @param timeout the most that one collective may take, counted from the end of the one before, or the arrival of all ranks here
     * @throws CollectiveException if not all ranks arrive in time, or NCCL fails
     * @throws IllegalStateException if NCCL or a CUDA device is not there
     */
    public static NcclCollectives of(Store store, int rank, int world, Device device, Duration timeout) {
        Arguments.checkRun(rank, world, timeout);
        Natives.start();
        return new NcclCollectives(rank, world, device, NcclCommunicator.open(store, rank, world, device, timeout));
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int world() {
        return world;
    }

    @Override
    public Handle allGather(Tensor whole_WxS, Tensor shard_S) {
        int type = checkShards("allGather", whole_WxS, shard_S);
        return communicator.launch(
                "allGather",
                (comm, stream) -> nccl.ncclAllGather(
                        shard_S.data_ptr(), whole_WxS.data_ptr(), shard_S.numel(), type, comm, stream),
                whole_WxS,
                shard_S);
    }

    @Override
    public Handle reduceScatter(Tensor sum_S, Tensor whole_WxS) {
        int type = checkShards("reduceScatter", whole_WxS, sum_S);
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
        Arguments.checkRoot(root, world);
        return communicator.launch(
                "broadcast",
                (comm, stream) -> nccl.ncclBroadcast(
                        tensor.data_ptr(), tensor.data_ptr(), tensor.numel(), type, root, comm, stream),
                tensor);
    }

    /**
     * Fuses the collectives that {@code calls} starts into one launch, which saves most of the time of small ones.
     *
     * @return the handle of all of them, as are those that they return
     */
    public Handle group(Runnable calls) {
        return communicator.group(calls);
    }

    @Override
    public void barrier() {
        allReduce(token).await();
        communicator.synchronize();
    }

    /** Waits for what is under way, within the time limit. */
    @Override
    public void close() {
        communicator.close();
        token.close();
    }

    private int checkShards(String name, Tensor whole_WxS, Tensor shard_S) {
        Arguments.checkShards(name, world, whole_WxS, shard_S);
        if (ncclType(name, whole_WxS) != ncclType(name, shard_S)) {
            throw new IllegalArgumentException(name + ": the whole is of type " + Tensors.type(whole_WxS)
                    + " and the shard of " + Tensors.type(shard_S));
        }
        return ncclType(name, shard_S);
    }

    /** Checks what NCCL, which sees addresses and counts only, does not. */
    private int ncclType(String name, Tensor tensor) {
        Arguments.checkContiguous(name, tensor);
        if (tensor.is_cpu() != device.isCpu()) {
            throw new IllegalArgumentException(name + " takes tensors on " + device);
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
                throw new IllegalArgumentException(name + " does not take tensors of type " + Tensors.type(tensor));
        };
    }
}
