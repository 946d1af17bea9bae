package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.IntPredicate;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;

/** A rank that is a thread of this process. It supports only sums, which is all that optimizers use, and records their sizes. */
final class ThreadRanks implements Collectives {
    private static final Handle DONE = () -> {};

    private final int rank;
    private final Tensor[] tensors;
    private final CyclicBarrier together;
    private final List<Long> sums = new ArrayList<>();
    private IntPredicate loses = number -> false;

    /** The work of each rank. */
    interface Action<T> {
        T run(ThreadRanks ranks) throws Exception;
    }

    private ThreadRanks(int rank, Tensor[] tensors, CyclicBarrier together) {
        this.rank = rank;
        this.tensors = tensors;
        this.together = together;
    }

    /** Runs all ranks and returns their results. */
    static <T> List<T> run(int world, Action<T> action) throws Exception {
        var tensors = new Tensor[world];
        var together = new CyclicBarrier(world);
        var threads = Executors.newFixedThreadPool(world);
        try {
            var tasks = new ArrayList<Callable<T>>();
            for (int rank = 0; rank < world; rank++) {
                var ranks = new ThreadRanks(rank, tensors, together);
                tasks.add(() -> {
                    try {
                        return action.run(ranks);
                    } catch (Throwable e) {
                        together.reset(); // so that no other waits for this one
                        throw e;
                    }
                });
            }
            var results = new ArrayList<T>();
            ExecutionException failure = null;
            for (Future<T> done : threads.invokeAll(tasks)) {
                try {
                    results.add(done.get());
                } catch (ExecutionException e) {
                    if (failure == null || failure.getCause() instanceof IllegalStateException) {
                        failure = e; // rather the cause than that a rank is gone
                    }
                }
            }
            if (failure != null) {
                throw failure;
            }
            return results;
        } finally {
            threads.shutdownNow();
        }
    }

    /** Returns the number of elements of each sum so far. */
    List<Long> sums() {
        return sums;
    }

    /** Plants an error: skips sums, selected by their number from now on. */
    void loses(IntPredicate which) {
        loses = which;
        sums.clear();
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int world() {
        return tensors.length;
    }

    @Override
    public Handle allReduce(Tensor sum) {
        int number = sums.size();
        sums.add(sum.numel());
        if (loses.test(number)) {
            return DONE;
        }
        tensors[rank] = sum;
        barrier();
        if (rank == 0) {
            try (var scope = Scope.open();
                    var off = Grad.off()) {
                Tensor total = sum.clone();
                for (int other = 1; other < tensors.length; other++) {
                    assertThat(tensors[other].shape()).isEqualTo(sum.shape());
                    total.add_(tensors[other]);
                }
                for (Tensor each : tensors) {
                    each.copy_(total);
                }
            }
        }
        barrier();
        return DONE;
    }

    @Override
    public Handle allGather(Tensor whole_WxS, Tensor shard_S) {
        throw new UnsupportedOperationException();
    }

    @Override
    public Handle reduceScatter(Tensor sum_S, Tensor whole_WxS) {
        throw new UnsupportedOperationException();
    }

    @Override
    public Handle broadcast(Tensor tensor, int root) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void barrier() {
        try {
            together.await(60, TimeUnit.SECONDS);
        } catch (InterruptedException | BrokenBarrierException | TimeoutException e) {
            throw new IllegalStateException("Another rank has failed", e);
        }
    }

    @Override
    public void close() {}
}
