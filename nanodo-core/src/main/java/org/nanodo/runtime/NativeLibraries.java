package org.nanodo.runtime;

import java.io.BufferedReader;
import java.io.FileReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bytedeco.javacpp.ClassProperties;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.global.torch;

/**
 * Loads LibTorch's libraries from the class path as one set, whatever other LibTorch is installed on the system.
 *
 * <p>JavaCPP itself unpacks and loads the libraries one by one, {@code libtorch.so} before the {@code libtorch_cpu.so} on which
 * it depends, and silently tries the library path for those that do not load. The system's dynamic linker then uses any file
 * of that name that it finds, and the mixture crashes. This class unpacks all files before it loads the first, and loads each
 * library after its dependencies, because the linker prefers a library of that name in the process to one on {@code
 * LD_LIBRARY_PATH}.
 */
final class NativeLibraries {
    /** LibTorch's own libraries, each after its dependencies. The {@code cuda} ones exist in the GPU natives only. */
    private static final List<String> LIB_TORCH = List.of("c10", "torch_cpu", "c10_cuda", "torch_cuda", "torch");

    /** The libraries of which the process must not have two versions; those of GCC are compatible. */
    private static final Pattern EXCLUSIVE = Pattern.compile("(lib)?(torch|c10|openblas|jni).*");

    private static final Pattern MISSING = Pattern.compile("([^\\s:/]+): cannot open shared object file");

    private NativeLibraries() {}

    /** @throws IllegalStateException if the libraries are missing, cannot be unpacked or loaded, or others are loaded already */
    static void load() {
        try {
            chooseNatives();
            ClassProperties properties = Loader.loadProperties(torch.class, Loader.loadProperties(), true);
            Map<String, URL> bundled = bundled(torch.class, properties);
            if (!bundled.keySet().containsAll(List.of("c10", "torch_cpu", "torch", "jnitorch"))) {
                throw new IllegalStateException("The LibTorch natives for " + Loader.getPlatform()
                        + " are not on the class path. Put org.bytedeco:pytorch, openblas and javacpp with that classifier "
                        + "there; they exist for linux-x86_64, macosx-arm64, macosx-x86_64 and windows-x86_64.");
            }
            Map<String, Path> unpacked = unpack(bundled);
            unpack(bundled(
                    openblas_full.class, Loader.loadProperties(openblas_full.class, Loader.loadProperties(), true)));
            refuseOthers(unpacked.values());
            Loader.load(openblas_full.class);
            loadInOrder(properties, bundled, unpacked);
            Loader.load(torch.class);
        } catch (LinkageError e) {
            throw new IllegalStateException(
                    "The LibTorch natives for " + Loader.getPlatform() + " did not load ("
                            + rootCause(e).getMessage() + ").",
                    e);
        }
    }

    /** Returns the first cause: JavaCPP's last error only says that it did not find a library anywhere else. */
    static Throwable rootCause(Throwable e) {
        return e.getCause() == null ? e : rootCause(e.getCause());
    }

    /**
     * Tells JavaCPP whether the natives on the class path are those for GPUs. Otherwise it tries both, and with the natives for the
     * CPU it loads any {@code libtorch_cuda.so} on the library path.
     */
    private static void chooseNatives() {
        Properties properties = Loader.loadProperties();
        String key = "platform.extension";
        if (properties.getProperty(key) == null) {
            String name = properties.getProperty("platform") + "-gpu/" + System.mapLibraryName("c10_cuda");
            properties.setProperty(key, torch.class.getResource("/org/bytedeco/pytorch/" + name) == null ? "" : "-gpu");
        }
    }

    /** Returns the libraries in the jars of a class, by JavaCPP's names; the first jar wins, as a whole. */
    private static Map<String, URL> bundled(Class<?> bindings, ClassProperties properties) {
        var names = names(properties);
        names.add(properties.getProperty("platform.library"));
        var bundled = new HashMap<String, URL>();
        for (String name : names) {
            for (URL found : Loader.findLibrary(bindings, properties, name, false)) {
                if (found.getPath().contains("/org/bytedeco/")) { // not from the system's directories
                    bundled.putIfAbsent(name, found);
                }
            }
        }
        return bundled;
    }

    private static Set<String> names(ClassProperties properties) {
        return Stream.of("platform.preload", "platform.link")
                .flatMap(kind -> properties.get(kind).stream())
                .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    private static Map<String, Path> unpack(Map<String, URL> bundled) {
        Path cache = cache();
        var unpacked = new HashMap<String, Path>();
        for (var library : bundled.entrySet()) {
            try {
                URL url = library.getValue();
                boolean isFile = url.getProtocol().equals("file"); // the jar has been unpacked already
                Path file = isFile
                        ? Path.of(url.toURI())
                        : Loader.cacheResource(url).toPath();
                unpacked.put(library.getKey(), file);
            } catch (IOException | URISyntaxException e) {
                throw new IllegalStateException(
                        "The native libraries could not be unpacked to " + cache + " (" + e.getMessage()
                                + "). They take about 500 MB there, 1.5 GB with the GPU natives; "
                                + "-Dorg.bytedeco.javacpp.cachedir names another directory.",
                        e);
            }
        }
        return unpacked;
    }

    private static Path cache() {
        String asked = System.getProperty("org.bytedeco.javacpp.cachedir");
        try {
            Path cache = Loader.getCacheDir().toPath();
            if (asked == null || Files.isSameFile(cache, Path.of(asked))) {
                return cache;
            }
        } catch (IOException | InvalidPathException e) {
            // reported below: the directory is missing or another one, or the locale cannot represent its name
        }
        throw new IllegalStateException("The native libraries need a directory to be unpacked to, and "
                + (asked == null
                        ? "neither the home directory nor the one for temporary files can be written"
                        : asked + " cannot be created or written")
                + ": name one with -Dorg.bytedeco.javacpp.cachedir.");
    }

    /** Refuses libraries in the process that the linker would use instead of ours. Only Linux lists them. */
    private static void refuseOthers(Iterable<Path> ours) {
        var places = new HashMap<String, Path>();
        ours.forEach(path -> places.put(path.getFileName().toString(), path));
        for (Path mapped : mapped()) {
            String name = mapped.getFileName().toString();
            Path own = places.get(name);
            if (own != null && EXCLUSIVE.matcher(name).matches() && !isSame(own, mapped)) {
                throw new IllegalStateException("The process has loaded " + mapped + ", which is not NanoDO's (" + own
                        + "): the two cannot be mixed. Take it out of LD_PRELOAD, or do not load it before NanoDO.");
            }
        }
    }

    private static boolean isSame(Path own, Path mapped) {
        try {
            return Files.isSameFile(own, mapped);
        } catch (IOException e) {
            return false; // the mapped file has been deleted
        }
    }

    /** Returns the libraries that are mapped into this process; none where the system does not list them. */
    static List<Path> mapped() {
        try (var maps = new BufferedReader(new FileReader("/proc/self/maps"))) {
            return maps.lines()
                    .map(line -> line.indexOf('/') < 0 ? "" : line.substring(line.indexOf('/')))
                    .filter(file -> file.contains(".so"))
                    .distinct()
                    .map(Path::of)
                    .toList();
        } catch (IOException | UncheckedIOException e) {
            return List.of();
        }
    }

    private static void loadInOrder(ClassProperties properties, Map<String, URL> bundled, Map<String, Path> unpacked) {
        var loaded = new ArrayList<String>();
        Set<String> names = names(properties);
        names.removeAll(LIB_TORCH);
        names.addAll(LIB_TORCH);
        for (String name : names) {
            String[] before = loaded.toArray(String[]::new);
            String file = bundled.containsKey(name)
                    ? loadBundled(name, bundled.get(name), unpacked.get(name), before)
                    : LIB_TORCH.contains(name) ? null : loadFromSystem(name, properties, before);
            if (file != null && Files.exists(Path.of(file))) {
                loaded.add(file);
            }
        }
    }

    /** Loads a library by its file. The # keeps JavaCPP from searching the system; it then returns null without a reason. */
    private static String loadBundled(String name, URL url, Path file, String... before) {
        String loaded = Loader.loadLibrary(torch.class, new URL[] {url}, name + "#", before);
        if (loaded != null) {
            return loaded;
        }
        try {
            System.load(file.toString());
        } catch (UnsatisfiedLinkError e) {
            if (e.getMessage().contains("already loaded in another classloader")) {
                return null;
            }
            var missing = MISSING.matcher(e.getMessage());
            if (missing.find()) {
                throw new IllegalStateException(
                        file.getFileName() + " needs " + missing.group(1) + ", which the dynamic linker does not find: "
                                + "put the directories of CUDA 13, cuDNN 9 and NCCL 2 on LD_LIBRARY_PATH, or use the natives "
                                + "for the CPU (-Dorg.bytedeco.javacpp.platform.extension= where both are on the class path).",
                        e);
            }
            throw e;
        }
        return file.toString();
    }

    /** Loads a library of CUDA from where JavaCPP finds it. A missing one is reported when LibTorch's libraries need it. */
    private static String loadFromSystem(String name, ClassProperties properties, String... before) {
        try {
            return Loader.loadLibrary(
                    torch.class, Loader.findLibrary(torch.class, properties, name, false), name, before);
        } catch (UnsatisfiedLinkError e) {
            return null;
        }
    }
}
