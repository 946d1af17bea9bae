package org.nanodo.distributed;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
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
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Timeline;

/**
 * Collectives between CPUs, by LibTorch's Gloo over TCP, one after the other on a thread of their own: they run beside what
 * the caller computes. Gloo's own all-gather and reduce-scatter copy the whole and, the latter, send it twice; those here,
 * made of broadcasts and of exchanges, do neither.
 *
 * <p>Gloo listens at the address of the host's name; {@code GLOO_SOCKET_IFNAME} names another network interface.
 */
public final class GlooCollectives implements Collectives {
    /** What a reduce-scatter holds of the whole at a time, twice. */
    private static final long EXCHANGE_ELEMENTS = 1 << 19;

    private final int rank;
    private final int world;
    private final Duration timeout;
    private final Heartbeats heartbeats;
    private final Store store;
    private final ProcessGroupGloo gloo;
    private final ExecutorService thread =
            Executors.newSingleThreadExecutor(task -> DaemonThread.of("nanodo-gloo", task));
    private volatile CollectiveException failure;
    private volatile Timeline timeline = Timeline.NONE;

    private GlooCollectives(
            int rank, int world, Duration timeout, Heartbeats heartbeats, Store store, ProcessGroupGloo gloo) {
        this.rank = rank;
        this.world = world;
        this.timeout = timeout;
        this.heartbeats = heartbeats;
        this.store = store;
        this.gloo = gloo;
    }

    /**
     * Brings the ranks together. Every rank calls this, as often and in the same order.
     *
     * @param store where they meet, which must outlive the result
     * @param timeout the most that one collective may take, or the arrival of all ranks here
     * @throws CollectiveException if not all ranks arrive in time
     */
    public static GlooCollectives of(Store store, int rank, int world, Duration timeout) {
        Arguments.checkRun(rank, world, timeout);
        Natives.start();
        String prefix = "gloo/" + store.add("gloo/ranks/" + rank, 1); // counts this rank's groups
        var heartbeats = new Heartbeats(store, prefix, rank, world, timeout);
        try (var scope = Scope.open()) {
            heartbeats.start(timeout);
            Store own = Scope.keep(new PrefixStore(prefix, store));
            var options = ProcessGroupGloo.Options.create(Natives.milliseconds(timeout));
            String networkInterface = System.getenv("GLOO_SOCKET_IFNAME");
            options.devices(new GlooDeviceVector(
                    networkInterface == null
                            ? ProcessGroupGloo.createDefaultDevice()
                            : ProcessGroupGloo.createDeviceForInterface(networkInterface)));
            var gloo = Scope.keep(new ProcessGroupGloo(own, rank, world, options));
            return new GlooCollectives(rank, world, timeout, heartbeats, own, gloo);
        } catch (RuntimeException e) {
            heartbeats.failed(String.valueOf(e.getMessage()));
            heartbeats.close();
            throw e instanceof CollectiveException
                    ? e
                    : new CollectiveException(
                            "Rank " + rank + " of " + world + " could not connect: " + e.getMessage(), e);
        }
    }

    /** Records from now on what runs when. */
    public GlooCollectives timeline(Timeline timeline) {
        this.timeline = timeline;
        return this;
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
        Arguments.checkShards("allGather", world, whole_WxS, shard_S);
        long S = shard_S.numel();
        return launch(
                "allGather",
                tensors -> {
                    Tensor whole = tensors.get(0);
                    whole.narrow(0, rank * S, S).copy_(tensors.get(1));
                    List<Work> parts = IntStream.range(0, world)
                            .mapToObj(root -> broadcast(gloo, whole.narrow(0, root * S, S), root))
                            .toList();
                    parts.forEach(Work::_wait);
                },
                whole_WxS,
                shard_S);
    }

    @Override
    public Handle reduceScatter(Tensor sum_S, Tensor whole_WxS) {
        Arguments.checkShards("reduceScatter", world, whole_WxS, sum_S);
        long S = sum_S.numel();
        return launch(
                "reduceScatter",
                tensors -> {
                    Tensor whole_WxSAll = tensors.get(1).view(world, S);
                    long step = Math.max(1, EXCHANGE_ELEMENTS / world);
                    for (long start = 0; start < S; start += step) {
                        try (var perPart = Scope.open()) {
                            long length = Math.min(step, S - start);
                            Tensor mine_WxC =
                                    whole_WxSAll.narrow(1, start, length).contiguous();
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
        Arguments.checkRoot(root, world);
        return launch(
                "broadcast", tensors -> broadcast(gloo, tensors.get(0), root)._wait(), tensor);
    }

    @Override
    public void barrier() {
        launch("barrier", tensors -> gloo.barrier()._wait()).await();
    }

    @Override
    public void close() {
        thread.shutdown();
        try {
            if (thread.awaitTermination(timeout.toMillis(), TimeUnit.MILLISECONDS)) {
                gloo.close();
                store.close();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        heartbeats.close();
    }

    /** What a collective does with its tensors, on the thread of the collectives. */
    @FunctionalInterface
    private interface Call {
        void run(List<Tensor> tensors);
    }

    private Handle launch(String name, Call call, Tensor... tensors) {
        Arguments.checkContiguous(name, tensors);
        long number = heartbeats.begin();
        // Handles of its own: the caller may close those it gave.
        List<Tensor> own = Arrays.stream(tensors)
                .map(tensor -> Scope.keep(new Tensor(tensor)))
                .toList();
        Future<?> done = thread.submit(() -> run(name, number, call, own));
        return () -> await(done);
    }

    private void run(String name, long number, Call call, List<Tensor> tensors) {
        throwIfFailed();
        long start = System.nanoTime();
        try (var scope = Scope.open();
                var off = Grad.off()) {
            call.run(tensors);
        } catch (RuntimeException e) {
            failure = new CollectiveException(
                    name + ", collective " + number + " of rank " + rank + " of " + world + " ranks, failed: "
                            + heartbeats.missing(number) + " (" + reason(e) + ")",
                    e);
            heartbeats.failed(failure.getMessage());
            throw failure;
        } finally {
            tensors.forEach(Tensor::close);
            timeline.span("collectives", name, start);
        }
    }

    private void await(Future<?> done) {
        try {
            done.get();
        } catch (ExecutionException e) {
            throwIfFailed();
            throw new CollectiveException(e.getCause().getMessage(), e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CollectiveException("Interrupted while waiting for other ranks", e);
        }
    }

    private void throwIfFailed() {
        if (failure != null) {
            throw new CollectiveException(failure.getMessage(), failure); // this thread's own stack trace
        }
    }

    private static Work broadcast(ProcessGroupGloo gloo, Tensor tensor, int root) {
        return gloo.broadcast(new TensorVector(tensor), new BroadcastOptions().rootRank(root));
    }

    private static String reason(RuntimeException e) {
        String withPlace = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
        return withPlace.replaceFirst("^\\[\\S+:\\d+] ", ""); // in Gloo's source
    }
}
