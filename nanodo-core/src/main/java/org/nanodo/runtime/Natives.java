package org.nanodo.runtime;

import com.sun.jna.Library;
import com.sun.jna.Platform;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.global.torch;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Loads LibTorch, once, with the settings that make it fast. Everything native starts here: the settings are environment
 * variables and allocator options that the libraries read while they load, so they cannot be set later.
 *
 * <p>Switch single settings off with {@code -Dnanodo.tuning.off=openmp,malloc}; a variable that is already set in the
 * environment is left alone. {@code -Dnanodo.threads=n} sets the number of threads (default: {@code OMP_NUM_THREADS},
 * else all processors).
 */
public final class Natives {
    /** One setting and what it saves. */
    public enum Tuning {
        /** JavaCPP asks the system for the process's resident size at every allocation: 4 of 5.5 µs of a small operator. */
        POLLING,
        /** OpenMP and OpenBLAS keep a thread pool each, whose idle threads spin and take the cores from one another. */
        OPENMP,
        /** glibc maps and unmaps each large tensor, and its page faults take half of a step: keep and reuse the memory. */
        MALLOC,
        /** LibTorch may start with a single thread. */
        THREADS
    }

    private interface CLibrary extends Library {
        int setenv(String name, String value, int overwrite);

        int mallopt(int parameter, int value);
    }

    private static final Logger log = LoggerFactory.getLogger(Natives.class);
    private static final Set<Tuning> tunings = EnumSet.noneOf(Tuning.class);
    private static final int threads;

    static {
        Set<Tuning> wanted = wanted(System.getProperty("nanodo.tuning.off", ""));
        if (alreadyLoaded()) {
            log.warn("Native libraries were loaded before NanoDO: memory and OpenMP keep the host's settings, "
                    + "training may be several times slower. Call Natives.start() first.");
            wanted.retainAll(EnumSet.of(Tuning.THREADS));
        }
        if (wanted.contains(Tuning.POLLING) && System.getProperty("org.bytedeco.javacpp.maxPhysicalBytes") == null) {
            System.setProperty("org.bytedeco.javacpp.maxPhysicalBytes", "0");
        }
        if (!Platform.isWindows()) {
            tuneLibc(wanted);
        }
        load();
        if (wanted.contains(Tuning.THREADS)) {
            torch.set_num_threads(wantedThreads());
            openblas_full.openblas_set_num_threads(wantedThreads());
        }
        threads = openblas_full.openblas_get_num_threads();
        tunings.addAll(wanted);
    }

    private Natives() {}

    /** Loads the native libraries if that has not happened yet. Cheap to call again. */
    public static void start() {
        // The static initialiser has done it.
    }

    /** Threads that matrix products run on. */
    public static int threads() {
        return threads;
    }

    /** Versions, devices, threads, BLAS and settings in force, for a log or a bug report. */
    public static String describe() {
        String version = Natives.class.getPackage().getImplementationVersion();
        return """
                NanoDO %s, Java %s, %s
                LibTorch %s, %s, %d threads, CUDA devices: %d
                %s, kernels for %s, %d threads
                tuning: %s"""
                .formatted(
                        version == null ? "(development)" : version,
                        Runtime.version(),
                        Loader.getPlatform(),
                        libTorchVersion(),
                        torch.get_cpu_capability().getString(),
                        torch.get_num_threads(),
                        Device.cudaCount(),
                        openblas_full.openblas_get_config().getString().trim(),
                        openblas_full.openblas_get_corename().getString(),
                        openblas_full.openblas_get_num_threads(),
                        tunings.stream()
                                .map(Tuning::name)
                                .collect(Collectors.joining(", "))
                                .toLowerCase(Locale.ROOT));
    }

    private static String libTorchVersion() {
        try {
            return Loader.getVersion("org.bytedeco", "pytorch");
        } catch (IOException e) {
            return "(unknown)"; // the jars were repackaged without their descriptors
        }
    }

    private static Set<Tuning> wanted(String off) {
        Set<Tuning> wanted = EnumSet.allOf(Tuning.class);
        for (String name : off.isBlank() ? new String[0] : off.trim().split("\\s*,\\s*")) {
            try {
                wanted.remove(Tuning.valueOf(name.toUpperCase(Locale.ROOT)));
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException(
                        "nanodo.tuning.off names an unknown setting \"" + name + "\"; there are "
                                + Arrays.toString(Tuning.values()).toLowerCase(Locale.ROOT),
                        e);
            }
        }
        return wanted;
    }

    private static int wantedThreads() {
        String environment = System.getenv("OMP_NUM_THREADS");
        String value = System.getProperty("nanodo.threads", environment == null ? "" : environment);
        if (value.isBlank()) {
            return Runtime.getRuntime().availableProcessors();
        }
        try {
            return Math.max(1, Integer.parseInt(value.trim()));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(
                    "The number of threads (nanodo.threads or OMP_NUM_THREADS) is \"" + value
                            + "\", not a whole number",
                    e);
        }
    }

    /** Whether a library that reads our settings is in the process already. Known on Linux only. */
    private static boolean alreadyLoaded() {
        try (var maps = Files.lines(Path.of("/proc/self/maps"))) {
            return maps.anyMatch(
                    line -> line.contains("libgomp") || line.contains("openblas") || line.contains("libtorch"));
        } catch (IOException e) {
            return false;
        }
    }

    private static void tuneLibc(Set<Tuning> wanted) {
        CLibrary libc = com.sun.jna.Native.load(Platform.C_LIBRARY_NAME, CLibrary.class);
        if (wanted.contains(Tuning.OPENMP)) {
            libc.setenv("OMP_WAIT_POLICY", "passive", 0);
            libc.setenv("GOMP_SPINCOUNT", "1000", 0);
            libc.setenv("OPENBLAS_THREAD_TIMEOUT", "10", 0);
        }
        if (wanted.contains(Tuning.MALLOC)) {
            libc.setenv("THP_MEM_ALLOC_ENABLE", "1", 0);
            if (Platform.isLinux()) {
                int trimThreshold = -1;
                int mmapThreshold = -3;
                libc.mallopt(mmapThreshold, 1 << 30);
                libc.mallopt(trimThreshold, Integer.MAX_VALUE);
            }
        }
    }

    private static void load() {
        try {
            Loader.load(torch.class);
            Loader.load(openblas_full.class);
        } catch (UnsatisfiedLinkError e) {
            throw new IllegalStateException(
                    "The LibTorch natives for " + Loader.getPlatform() + " did not load ("
                            + e.getMessage()
                            + "). Put org.bytedeco:pytorch, openblas and javacpp with that classifier on the class "
                            + "path; they exist for linux-x86_64, macosx-arm64, macosx-x86_64 and windows-x86_64.",
                    e);
        }
    }
}
