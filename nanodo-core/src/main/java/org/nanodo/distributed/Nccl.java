package org.nanodo.distributed;

import java.time.Duration;
import java.util.HexFormat;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.bytedeco.cuda.global.nccl;
import org.bytedeco.cuda.nccl.ncclComm;
import org.bytedeco.cuda.nccl.ncclUniqueId;
import org.nanodo.files.DaemonThread;
import org.nanodo.runtime.CollectiveException;
import org.nanodo.runtime.CudaStream;
import org.nanodo.runtime.Natives;
import org.nanodo.runtime.Scope;

/** NCCL's own start-up, and its status codes in words. */
final class Nccl {
    private Nccl() {}

    static String newId() {
        try (var id = new ncclUniqueId()) {
            check(nccl.ncclGetUniqueId(id));
            byte[] bytes = new byte[nccl.NCCL_UNIQUE_ID_BYTES];
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = id.internal(i);
            }
            return HexFormat.of().formatHex(bytes);
        }
    }

    static ncclUniqueId id(String hex) {
        var id = Scope.keep(new ncclUniqueId());
        byte[] bytes = HexFormat.of().parseHex(hex);
        for (int i = 0; i < bytes.length; i++) {
            id.internal(i, bytes[i]);
        }
        return id;
    }

    /** Connects on a thread of its own, which stays behind if NCCL never returns: nothing exists yet that could be aborted. */
    static ncclComm initialise(CudaStream stream, ncclUniqueId id, int rank, int world, Duration timeout) {
        var task = new FutureTask<>(() -> {
            stream.use();
            var comm = new ncclComm();
            check(nccl.ncclCommInitRank(comm, world, id, rank));
            return comm;
        });
        DaemonThread.of("nanodo-nccl-init", task).start();
        String what = "NCCL's communicator for rank " + rank + " of " + world + " ranks ";
        try {
            return task.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            throw new CollectiveException(
                    what + "was not ready within " + Peers.seconds(timeout)
                            + ", although all ranks have arrived. NCCL_DEBUG=INFO shows which network it tries.",
                    e);
        } catch (ExecutionException e) {
            throw new CollectiveException(what + "failed: " + e.getCause().getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CollectiveException(what + "was interrupted", e);
        }
    }

    static void check(int status) {
        if (status != nccl.ncclSuccess) {
            throw new IllegalStateException(describe(status));
        }
    }

    static String describe(int status) {
        String details = Natives.text(nccl.ncclGetLastError(null));
        return "NCCL reports " + Natives.text(nccl.ncclGetErrorString(status)) + ", error " + status
                + (details.isBlank() ? "" : ", " + details.trim());
    }
}
