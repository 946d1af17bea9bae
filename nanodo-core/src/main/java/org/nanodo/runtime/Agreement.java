package org.nanodo.runtime;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;

/** Decisions that all ranks make together. Each waits for the device and for all ranks, so they are for rare occasions. */
public final class Agreement {
    private final Collectives ranks;
    private final Device device;

    /** An action that may fail on some ranks only. */
    @FunctionalInterface
    public interface Action {
        void run() throws IOException;
    }

    /** A question that rank 0 alone can answer. */
    @FunctionalInterface
    public interface Question {
        long answer() throws IOException;
    }

    public Agreement(Collectives ranks, Device device) {
        this.ranks = ranks;
        this.device = device;
    }

    /** Returns the numbers of all ranks, one row per rank. Each rank passes as many. */
    public double[][] gather(double... mine) {
        int n = mine.length;
        double[] table_WxN = new double[ranks.world() * n];
        System.arraycopy(mine, 0, table_WxN, ranks.rank() * n, n);
        try (var scope = Scope.open()) {
            Tensor sum_WxN = Tensors.doubles(device, table_WxN, table_WxN.length);
            ranks.allReduce(sum_WxN).await(); // each row is zero on all ranks but one
            ranks.barrier(); // throws if the sum was aborted
            double[] all_WxN = Tensors.toDoubles(sum_WxN);
            return IntStream.range(0, ranks.world())
                    .mapToObj(rank -> Arrays.copyOfRange(all_WxN, rank * n, (rank + 1) * n))
                    .toArray(double[][]::new);
        }
    }

    /** Returns the names that any rank has, in alphabetical order. */
    public List<String> union(Collection<String> mine) {
        byte[] bytes = String.join("\n", mine).getBytes(StandardCharsets.UTF_8);
        int longest = (int) Arrays.stream(gather(bytes.length))
                .mapToDouble(length -> length[0])
                .max()
                .orElseThrow();
        double[] padded = new double[longest + 1]; // with zeros, at least one
        Arrays.setAll(padded, i -> i < bytes.length ? bytes[i] : 0);
        var names = new TreeSet<String>();
        for (double[] rank : gather(padded)) {
            byte[] theirs = new byte[rank.length];
            int n = 0;
            while (rank[n] != 0) {
                theirs[n] = (byte) rank[n++];
            }
            names.addAll(
                    new String(theirs, 0, n, StandardCharsets.UTF_8).lines().toList());
        }
        return List.copyOf(names);
    }

    /** Returns whether the condition holds on any rank. */
    public boolean any(boolean mine) {
        return firstRank(mine) < ranks.world();
    }

    /** Asks rank 0 and returns its answer on all ranks. */
    public long askFirst(Question question) throws IOException {
        long[] answer = new long[1];
        run(() -> answer[0] = ranks.rank() == 0 ? question.answer() : 0);
        return (long) gather(answer[0])[0][0];
    }

    /** Runs an action on each rank. A failure on one rank is a failure on all, so that none waits for another forever. */
    public void run(Action action) throws IOException {
        Throwable failure = null;
        try {
            action.run();
        } catch (CollectiveException e) {
            throw e; // all ranks have it
        } catch (IOException | RuntimeException | Error e) {
            failure = e;
        }
        int failed = firstRank(failure != null);
        if (failure instanceof IOException own) {
            throw own;
        } else if (failure instanceof RuntimeException own) {
            throw own;
        } else if (failure instanceof Error own) {
            throw own;
        } else if (failed < ranks.world()) {
            throw new IOException(
                    "This rank stops because rank " + failed + " has failed; that rank's message says why");
        }
    }

    /** Returns the lowest rank on which the condition holds, or the number of ranks if there is none. */
    private int firstRank(boolean mine) {
        double[][] all = gather(mine ? 1 : 0);
        return IntStream.range(0, all.length)
                .filter(rank -> all[rank][0] > 0)
                .findFirst()
                .orElse(all.length);
    }
}
