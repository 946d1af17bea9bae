package org.nanodo.runtime;

import com.sun.jna.Platform;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.chrono.Milliseconds;
import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.global.torch;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Loads LibTorch once, with the settings that make it fast. All native code starts through this class, because the settings
 * are environment variables and allocator options that the libraries read only while they load.
 *
 * <p>{@code -Dnanodo.tuning.off=openmp,malloc} switches single settings off; environment variables that are already set keep
 * their values. {@code -Dnanodo.threads=n} sets the number of threads (default: {@code OMP_NUM_THREADS}, otherwise all
 * processors).
 */
public final class Natives {
    /** A setting; each constant describes the cost that the setting avoids. */
    public enum Tuning {
        /** JavaCPP asks the system for the process's resident size at every allocation: 4 of 5.5 µs of a small operator. */
        POLLING,
        /** OpenMP and OpenBLAS each have a thread pool, whose idle threads spin and take the cores from the other's. */
        OPENMP,
        /** glibc maps and unmaps each large tensor, and the page faults take half of a step: keep and reuse the memory. */
        MALLOC,
        /** LibTorch may start with a single thread. */
        THREADS
    }

    private static final Logger log = LoggerFactory.getLogger(Natives.class);
    private static final Set<Tuning> inForce = EnumSet.noneOf(Tuning.class);
    private static RuntimeException failure; // of the only attempt to start, thrown to every caller
    private static int threads;

    static {
        try {
            tuneAndLoad();
        } catch (RuntimeException e) {
            failure = e;
        } catch (LinkageError e) {
            failure = new IllegalStateException("LibTorch could not be started: " + NativeLibraries.rootCause(e), e);
        }
    }

    private Natives() {}

    /**
     * Loads the native libraries unless they are loaded. Later calls cost next to nothing.
     *
     * @throws IllegalStateException if the libraries are missing for this platform, or cannot be unpacked or loaded
     * @throws IllegalArgumentException if a setting is invalid
     */
    public static void start() {
        if (failure != null) {
            throw failure;
        }
    }

    /** Converts a time limit for LibTorch. */
    public static Milliseconds milliseconds(Duration duration) {
        return new Milliseconds(duration.toMillis());
    }

    /** Returns the number of threads on which matrix products run. */
    public static int threads() {
        return threads;
    }

    /** Returns the text of a C string. */
    public static String text(Pointer string) {
        return new BytePointer(string).getString();
    }

    /** Describes versions, devices, threads, BLAS and the settings in force, for a log or a bug report. */
    public static String describe() {
        start();
        String version = Natives.class.getPackage().getImplementationVersion();
        return """
                NanoDO %s, Java %s, %s
                LibTorch %s, %s, %s threads, CUDA devices: %s
                %s, kernels for %s, %s threads
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
                        inForce.stream()
                                .map(Tuning::name)
                                .collect(Collectors.joining(", "))
                                .toLowerCase(Locale.ROOT));
    }

    private static void tuneAndLoad() {
        Set<Tuning> wanted = wanted(System.getProperty("nanodo.tuning.off", ""));
        int wantedThreads = wantedThreads();
        if (alreadyLoaded()) {
            log.warn("Native libraries were loaded before NanoDO: memory and OpenMP keep the host's settings, "
                    + "training may be several times slower. Call Natives.start() first.");
            wanted.retainAll(EnumSet.of(Tuning.THREADS));
        }
        if (wanted.contains(Tuning.POLLING)) {
            String property = "org.bytedeco.javacpp.maxPhysicalBytes";
            if (System.getProperty(property) == null) {
                System.setProperty(property, "0");
            }
            inForce.add(Tuning.POLLING);
        }
        if (!Platform.isWindows()) {
            tuneLibc(wanted);
        }
        NativeLibraries.load();
        if (wanted.contains(Tuning.THREADS)) {
            torch.set_num_threads(wantedThreads);
            openblas_full.openblas_set_num_threads(wantedThreads);
            inForce.add(Tuning.THREADS);
        }
        threads = openblas_full.openblas_get_num_threads();
    }

    private static Set<Tuning> wanted(String off) {
        Set<Tuning> wanted = EnumSet.allOf(Tuning.class);
        for (String name : off.isBlank() ? new String[0] : off.trim().split("\\s*,\\s*")) {
            try {
                wanted.remove(Tuning.valueOf(name.toUpperCase(Locale.ROOT)));
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException(
                        "nanodo.tuning.off names an unknown setting \"" + name + "\"; the settings are "
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
        String outermost = value.split(",")[0].trim(); // OpenMP accepts one number per nesting level
        if (!outermost.matches("[1-9]\\d{0,4}")) {
            throw new IllegalArgumentException(
                    "The number of threads (nanodo.threads or OMP_NUM_THREADS) is \"" + value + "\", not 1 or more");
        }
        return Integer.parseInt(outermost);
    }

    /** Returns whether the process has loaded a library that reads the settings; on systems other than Linux, false. */
    private static boolean alreadyLoaded() {
        return NativeLibraries.mapped().stream()
                .map(file -> file.getFileName().toString())
                .anyMatch(name -> name.matches("lib(gomp|openblas|torch).*"));
    }

    private static void tuneLibc(Set<Tuning> wanted) {
        try {
            CLibrary libc = CLibrary.load();
            if (wanted.contains(Tuning.OPENMP)) {
                libc.setenv("OMP_WAIT_POLICY", "passive", 0);
                libc.setenv("GOMP_SPINCOUNT", "1000", 0);
                libc.setenv("OPENBLAS_THREAD_TIMEOUT", "10", 0);
                inForce.add(Tuning.OPENMP);
            }
            if (wanted.contains(Tuning.MALLOC) && Platform.isLinux() && keepMemory(libc)) {
                libc.setenv("THP_MEM_ALLOC_ENABLE", "1", 0);
                inForce.add(Tuning.MALLOC);
            }
        } catch (LinkageError | RuntimeException e) {
            log.warn("The C library could not be tuned, training may be several times slower: {}", e.toString());
        }
    }

    /**
     * Makes glibc serve large blocks from its heaps and return nothing to the system. Java's threads have heaps of their own in
     * parts of 64 MiB, which are returned as soon as they are empty unless the padding is larger; blocks beyond that size are
     * mapped and unmapped in any case.
     */
    private static boolean keepMemory(CLibrary libc) {
        int trimThreshold = -1;
        int topPad = -2;
        int mmapThreshold = -3;
        int unlimited = -1; // glibc reads it as the largest size_t
        boolean accepted = libc.mallopt(mmapThreshold, unlimited) == 1
                || libc.mallopt(mmapThreshold, 1 << 25) == 1; // the most before glibc 2.35
        return accepted && libc.mallopt(trimThreshold, unlimited) == 1 && libc.mallopt(topPad, 1 << 27) == 1;
    }

    private static String libTorchVersion() {
        try {
            return Loader.getVersion("org.bytedeco", "pytorch");
        } catch (IOException e) {
            return "(unknown)"; // the jars were repackaged without their descriptors
        }
    }
}
