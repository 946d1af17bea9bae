package org.nanodo.runtime;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.jna.Native;
import com.sun.jna.Platform;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TestJvm;
import org.slf4j.Logger;

/** Starts of a fresh JVM among other libraries of the same names, and where nothing can be unpacked. */
@Tag("slow")
class NativeLibrariesTest {
    private static final String ABORTS = "__attribute__((constructor)) static void loaded() { abort(); }";
    private static final String IS_QUIET = "static void loaded() { }";

    @TempDir
    Path directory;

    static final class OneAndOne {
        public static void main(String[] args) {
            try {
                var one = Tensors.floats(Device.cpu(), new float[] {1}, 1);
                System.out.println("1 + 1 = " + Tensors.toFloats(one.add(one))[0]);
            } catch (IllegalStateException e) {
                System.out.println(e.getMessage());
            } catch (ExceptionInInitializerError e) {
                System.out.println(e.getCause().getMessage());
            }
        }
    }

    /** Starts LibTorch with two file descriptors left. Classes are found before, for they come out of files as well. */
    static final class OutOfFiles {
        public static void main(String[] args) throws Exception {
            Path.of("").toFile();
            for (Class<?> found : List.of(Native.class, Loader.class, torch.class, openblas_full.class, Logger.class)) {
                Class.forName(found.getName(), false, OutOfFiles.class.getClassLoader());
            }
            Class.forName(Natives.class.getName(), false, OutOfFiles.class.getClassLoader());
            Class.forName(NativeLibraries.class.getName(), false, OutOfFiles.class.getClassLoader());
            var files = new ArrayList<FileInputStream>();
            try {
                while (true) {
                    files.add(new FileInputStream("/dev/null"));
                }
            } catch (IOException e) {
                files.remove(0).close();
                files.remove(0).close();
            }
            String message = "started";
            try {
                Natives.start();
            } catch (IllegalStateException e) {
                message = e.getMessage();
            }
            files.remove(0).close();
            System.out.println(message);
        }
    }

    @BeforeEach
    void onLinux() throws Exception {
        assumeTrue(Platform.isLinux(), "libraries are searched for in another way where this is not Linux");
    }

    @Test
    void anotherLibTorchOnTheLibraryPathIsNotTaken() throws Exception {
        Path others = directory.resolve("others");
        for (String name :
                List.of("libc10.so", "libtorch_cpu.so", "libtorch.so", "libc10_cuda.so", "libtorch_cuda.so")) {
            compile(others.resolve(name), ABORTS);
        }
        Path cache = directory.resolve("an empty cache"); // where nothing has been unpacked yet
        assertThat(start(
                        Map.of("LD_LIBRARY_PATH", others.toString()),
                        "-Dorg.bytedeco.javacpp.cachedir=" + cache,
                        "-Dorg.bytedeco.javacpp.platform.preloadpath=" + others))
                .contains("1 + 1 = 2.0");
        assertThat(cache).isNotEmptyDirectory();
    }

    @Test
    void anotherLibTorchInTheProcessIsNamed() throws Exception {
        Path other = compile(directory.resolve("libc10.so"), IS_QUIET);
        assertThat(start(Map.of("LD_PRELOAD", other.toString())))
                .contains("The process has loaded " + other)
                .contains("LD_PRELOAD");
    }

    @Test
    void aMissingCudaLibraryIsNamed() throws Exception {
        Path natives = directory.resolve("classes/org/bytedeco/pytorch/linux-x86_64-gpu");
        Path absent = compile(directory.resolve("libcudaabsent.so.13"), IS_QUIET);
        for (String name :
                List.of("libc10.so", "libtorch.so", "libc10_cuda.so", "libtorch_cuda.so", "libjnitorch.so")) {
            compile(natives.resolve(name), ABORTS);
        }
        compile(natives.resolve("libc10.so"), IS_QUIET);
        compile(natives.resolve("libtorch_cpu.so"), IS_QUIET, "-Wl,--no-as-needed", absent.toString());
        Files.delete(absent);
        String classPath = directory.resolve("classes") + File.pathSeparator + System.getProperty("java.class.path");
        assertThat(start(Map.of(), "-cp", classPath))
                .contains("libtorch_cpu.so needs libcudaabsent.so.13")
                .contains("LD_LIBRARY_PATH")
                .contains("natives for the CPU");
    }

    @Test
    void aCacheThatCannotBeCreatedIsNamed() throws Exception {
        Path cache = Files.createFile(directory.resolve("file")).resolve("cache");
        assertThat(start(Map.of(), "-Dorg.bytedeco.javacpp.cachedir=" + cache))
                .contains(cache + " cannot be created or written")
                .contains("-Dorg.bytedeco.javacpp.cachedir");
    }

    @Test
    void aFullDiskIsNamed() throws Exception {
        Path cache = directory.resolve("cache");
        assertThat(TestJvm.runWithLimit(
                        "ulimit -f 1000", "-Dorg.bytedeco.javacpp.cachedir=" + cache, OneAndOne.class.getName()))
                .contains("could not be unpacked to " + cache)
                .contains("File too large");
    }

    @Test
    void noFileDescriptorsLeftIsNamed() throws Exception {
        assertThat(TestJvm.runWithLimit("ulimit -n 200", OutOfFiles.class.getName()))
                .contains("did not load")
                .contains("Too many open files");
    }

    private static String start(Map<String, String> environment, String... options) throws Exception {
        String[] command = Arrays.copyOf(options, options.length + 1);
        command[options.length] = OneAndOne.class.getName();
        return TestJvm.output(TestJvm.start(environment, command));
    }

    /** A library of nothing but what it does when it is loaded. */
    private static Path compile(Path library, String source, String... options) throws Exception {
        Files.createDirectories(library.getParent());
        Path file = Files.writeString(library.resolveSibling("source.c"), "#include <stdlib.h>\n" + source);
        var command =
                new ArrayList<>(List.of("gcc", "-shared", "-fPIC", "-w", "-o", library.toString(), file.toString()));
        command.add("-Wl,-soname," + library.getFileName());
        command.addAll(List.of(options));
        Process gcc;
        try {
            gcc = new ProcessBuilder(command).inheritIO().start();
        } catch (IOException e) {
            assumeTrue(false, "there is no gcc to compile the other library with");
            throw e;
        }
        assertThat(gcc.waitFor(1, TimeUnit.MINUTES) && gcc.exitValue() == 0).isTrue();
        return library;
    }
}
