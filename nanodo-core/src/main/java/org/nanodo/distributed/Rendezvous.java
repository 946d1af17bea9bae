package org.nanodo.distributed;

import java.time.Duration;
import java.util.Map;
import org.bytedeco.pytorch.PrefixStore;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.TCPStore;
import org.bytedeco.pytorch.TCPStoreOptions;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;

/**
 * The meeting of a run's processes, one per rank, at a key-value store that rank 0 or the launcher keeps. It follows torchrun's
 * contract ({@code RANK}, {@code WORLD_SIZE}, {@code LOCAL_RANK}, {@code MASTER_ADDR}, {@code MASTER_PORT}), so that every
 * launcher of PyTorch processes works. Without these variables, Open MPI's or Slurm's, the process is a run of one rank.
 *
 * <pre>{@code
 * try (var meeting = Rendezvous.join(Duration.ofMinutes(10));
 *      var ranks = meeting.collectives(meeting.device())) { … }
 * }</pre>
 */
public final class Rendezvous implements AutoCloseable {
    /** The time for which rank 0 keeps its store after a failure, so that the others can read the reason. */
    private static final Duration LINGER = Duration.ofSeconds(2);

    private final LaunchEnvironment launched;
    private final Duration timeout;
    private final Store server;
    private final Store store;

    private Rendezvous(LaunchEnvironment launched, Duration timeout) {
        this.launched = launched;
        this.timeout = timeout;
        boolean alone = launched.world() == 1;
        server = alone ? null : connect();
        store = alone ? null : Scope.keep(new PrefixStore("nanodo/" + launched.attempt(), server));
    }

    /**
     * Waits for all ranks.
     *
     * @param timeout the time limit of the meeting, and of each collective afterwards
     * @throws IllegalArgumentException if the environment variables are contradictory or invalid
     * @throws CollectiveException if not all ranks arrive, or ranks of another run do
     */
    public static Rendezvous join(Duration timeout) {
        return join(System.getenv(), timeout);
    }

    static Rendezvous join(Map<String, String> environment, Duration timeout) {
        Natives.start();
        var rendezvous = new Rendezvous(LaunchEnvironment.by(environment), timeout);
        try {
            rendezvous.meet();
            return rendezvous;
        } catch (RuntimeException e) {
            if (rendezvous.keepsStore()) {
                Peers.sleep(LINGER);
            }
            rendezvous.close();
            throw e instanceof CollectiveException
                    ? e
                    : new CollectiveException(
                            "The store at " + rendezvous.place() + " was closed while the ranks met: rank 0 has "
                                    + "failed, and its message says why",
                            e);
        }
    }

    private boolean keepsStore() {
        return launched.world() > 1 && launched.rank() == 0 && !launched.agentStore();
    }

    public int rank() {
        return launched.rank();
    }

    public int world() {
        return launched.world();
    }

    /** Returns this rank's number on its machine. */
    public int localRank() {
        return launched.localRank();
    }

    /** Returns the CUDA device with this rank's number on its machine, or the CPU if this process sees no CUDA device. */
    public Device device() {
        return Device.cudaCount() == 0 ? Device.cpu() : Device.cuda(launched.localRank());
    }

    /** Returns collectives over NCCL between GPUs, or over Gloo between CPUs. Close them before this object. */
    public Collectives collectives(Device device) {
        if (world() == 1) {
            return Collectives.single();
        }
        return device.isCpu()
                ? GlooCollectives.of(store, rank(), world(), timeout)
                : NcclCollectives.of(store, rank(), world(), device, timeout);
    }

    private Store connect() {
        boolean server = keepsStore();
        try (var scope = Scope.open()) {
            return Scope.keep(new TCPStore(
                    launched.address(),
                    new TCPStoreOptions()
                            .port((short) launched.port())
                            .isServer(server)
                            .waitWorkers(false)
                            .timeout(Natives.milliseconds(timeout))));
        } catch (RuntimeException e) {
            throw new CollectiveException(
                    server
                            ? "Rank 0 cannot keep its store at " + place() + ": is another run using the port? "
                                    + "Give each its own MASTER_PORT."
                            : "Rank " + rank() + " found no store at " + place() + " within "
                                    + Peers.seconds(timeout) + ": was "
                                    + (launched.agentStore() ? "the launcher's agent" : "rank 0") + " started there?",
                    e);
        }
    }

    private void meet() {
        if (world() == 1) {
            return;
        }
        String run = launched.world() + " ranks" + (launched.run().isEmpty() ? "" : " of run " + launched.run());
        String others = store.compareSet("run", "", run);
        if (!others.equals(run)) {
            throw conflict(
                    "rank " + rank() + " was started as one of " + run + ", another process as one of " + others);
        }
        var ranks = new Arrivals(store, "arrived/", rank(), world());
        if (store.add(ranks.key(rank()), 1) > 1) {
            throw conflict("two processes were started as rank " + rank());
        }
        ranks.await(timeout, " at " + place(), "MASTER_ADDR and MASTER_PORT", this::throwOnConflict);
        throwOnConflict();
    }

    /** Tells all waiting ranks, since none of them can know which process does not belong to the run. */
    private CollectiveException conflict(String what) {
        store.set("conflict", what);
        return new CollectiveException(message(what));
    }

    private void throwOnConflict() {
        if (Arrivals.has(store, "conflict")) {
            throw new CollectiveException(message(store.get_to_str("conflict")));
        }
    }

    private String message(String conflict) {
        return "At " + place() + " " + conflict + ". Is WORLD_SIZE the same everywhere, and does each run have its own "
                + "MASTER_PORT?";
    }

    private String place() {
        return launched.address() + ":" + launched.port();
    }

    @Override
    public void close() {
        if (store != null) {
            store.close();
            server.close();
        }
    }
}
