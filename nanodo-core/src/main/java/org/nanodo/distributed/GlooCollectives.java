package org.nanodo.distributed;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.BroadcastOptions;
import org.bytedeco.pytorch.GlooDeviceVector;
import org.bytedeco.pytorch.LongVector;
import org.bytedeco.pytorch.PrefixStore;
import org.bytedeco.pytorch.ProcessGroupGloo;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.Work;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.files.DaemonThread;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Timeline;

/**
 * Collectives between CPUs over LibTorch's Gloo and TCP. They run one after the other on a thread of their own, beside the
 * caller's computation. Gloo's own all-gather and reduce-scatter copy the whole, and the latter sends it twice; the ones of
 * this class, made of broadcasts and exchanges, do neither.
 *
 * <p>Gloo listens at the address of the host's name; {@code GLOO_SOCKET_IFNAME} names another network interface.
 */
public final class GlooCollectives extends PeerCollectives {
    /** The elements of the whole that a reduce-scatter copies at a time, twice. */
    private static final long EXCHANGE_ELEMENTS = 1 << 19;

    private final Store store;
    private final ProcessGroupGloo gloo;
    private final ExecutorService thread =
            Executors.newSingleThreadExecutor(task -> DaemonThread.of("nanodo-gloo", task));
    private volatile Timeline timeline = Timeline.NONE;

    private GlooCollectives(Peers peers, Store store, ProcessGroupGloo gloo) {
        super(peers);
        this.store = store;
        this.gloo = gloo;
    }

    /**
     * Connects the ranks. Every rank must call this equally often and in the same order.
     *
     * @param store where the ranks meet; it must outlive the result
     * @param timeout the time limit of each collective, and of the arrival of all ranks
     * @throws CollectiveException if not all ranks arrive in time
     */
    public static GlooCollectives of(Store store, int rank, int world, Duration timeout) {
        Natives.start();
        var peers = new Peers(store, "gloo", rank, world, timeout);
        try (var scope = Scope.open()) {
            peers.meet();
            Store own = Scope.keep(new PrefixStore(peers.prefix, store));
            var options = ProcessGroupGloo.Options.create(Natives.milliseconds(timeout));
            String networkInterface = System.getenv("GLOO_SOCKET_IFNAME");
            options.devices(new GlooDeviceVector(
                    networkInterface == null
                            ? ProcessGroupGloo.createDefaultDevice()
                            : ProcessGroupGloo.createDeviceForInterface(networkInterface)));
            return new GlooCollectives(peers, own, Scope.keep(new ProcessGroupGloo(own, rank, world, options)));
        } catch (RuntimeException e) {
            peers.abandon(e);
            throw e instanceof CollectiveException
                    ? e
                    : new CollectiveException(
                            "Rank " + rank + " of " + world + " could not connect: " + e.getMessage(), e);
        }
    }

    /** Records the collectives that start from now on. */
    public GlooCollectives timeline(Timeline timeline) {
        this.timeline = timeline;
        return this;
    }

    @Override
    public Handle allGather(Tensor whole_WxS, Tensor shard_S) {
        checkShards("allGather", whole_WxS, shard_S);
        long S = shard_S.numel();
        return launch(
                "allGather",
                tensors -> {
                    Tensor whole = tensors.get(0);
                    whole.narrow(0, rank() * S, S).copy_(tensors.get(1));
                    List<Work> parts = IntStream.range(0, world())
                            .mapToObj(root -> send(whole.narrow(0, root * S, S), root))
                            .toList();
                    parts.forEach(Work::_wait);
                },
                whole_WxS,
                shard_S);
    }

    @Override
    public Handle reduceScatter(Tensor sum_S, Tensor whole_WxS) {
        checkShards("reduceScatter", whole_WxS, sum_S);
        long S = sum_S.numel();
        return launch(
                "reduceScatter",
                tensors -> {
                    Tensor rows_WxS = tensors.get(1).view(world(), S);
                    long step = Math.max(1, EXCHANGE_ELEMENTS / world());
                    for (long start = 0; start < S; start += step) {
                        try (var perPart = Scope.open()) {
                            long length = Math.min(step, S - start);
                            Tensor mine_WxC = rows_WxS.narrow(1, start, length).contiguous();
                            Tensor theirs_WxC = torch.empty_like(mine_WxC);
                            gloo.alltoall_base(theirs_WxC, mine_WxC, new LongVector(), new LongVector())
                                    ._wait();
                            tensors.get(0).narrow(0, start, length).copy_(theirs_WxC.sum(0));
                        }
                    }
                },
                sum_S,
                whole_WxS);
    }

    @Override
    public Handle allReduce(Tensor sum) {
        return launch(
                "allReduce",
                tensors -> gloo.allreduce(new TensorVector(tensors.get(0)))._wait(),
                sum);
    }

    @Override
    public Handle broadcast(Tensor tensor, int root) {
        checkRoot(root);
        return launch("broadcast", tensors -> send(tensors.get(0), root)._wait(), tensor);
    }

    @Override
    public void barrier() {
        launch("barrier", tensors -> gloo.barrier()._wait()).await();
    }

    @Override
    public void close() {
        thread.shutdown();
        try {
            if (thread.awaitTermination(peers.timeout.toMillis(), TimeUnit.MILLISECONDS)) {
                gloo.close();
                store.close();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        peers.close();
    }

    /** Runs a collective on its tensors, on the thread of the collectives. */
    private Handle launch(String name, Consumer<List<Tensor>> call, Tensor... tensors) {
        checkContiguous(name, tensors);
        long number = peers.begin();
        // handles of its own, since the caller may close the ones passed
        List<Tensor> own = Arrays.stream(tensors)
                .map(tensor -> Scope.keep(new Tensor(tensor)))
                .toList();
        Future<?> done = thread.submit(() -> run(name, number, call, own));
        return () -> await(done);
    }

    private void run(String name, long number, Consumer<List<Tensor>> call, List<Tensor> tensors) {
        peers.throwIfFailed();
        long start = System.nanoTime();
        try (var scope = Scope.open();
                var off = Grad.off()) {
            call.accept(tensors);
        } catch (RuntimeException e) {
            throw peers.fail(
                    peers.describe(name, number) + ", failed: " + peers.missing(number) + " (" + reason(e) + ")", e);
        } finally {
            tensors.forEach(Tensor::close);
            timeline.span("collectives", name, start);
        }
    }

    private void await(Future<?> done) {
        try {
            done.get();
        } catch (ExecutionException e) {
            peers.throwIfFailed();
            throw new CollectiveException(e.getCause().getMessage(), e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CollectiveException("Interrupted while waiting for other ranks", e);
        }
    }

    private Work send(Tensor tensor, int root) {
        return gloo.broadcast(new TensorVector(tensor), new BroadcastOptions().rootRank(root));
    }

    private static String reason(RuntimeException e) {
        String firstLine = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
        return firstLine.replaceFirst("^\\[\\S+:\\d+] ", ""); // the position in Gloo's source
    }
}
