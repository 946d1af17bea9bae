package org.nanodo.runtime;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.NativeLong;
import com.sun.jna.Platform;
import com.sun.jna.Structure;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What the process holds of the host's memory, as Linux and glibc count it; -1 where they do not. */
public final class Memory {
    private interface CLibrary extends Library {
        Counts mallinfo2();
    }

    /** glibc's struct mallinfo2. */
    @Structure.FieldOrder({
        "arena",
        "ordblks",
        "smblks",
        "hblks",
        "hblkhd",
        "usmblks",
        "fsmblks",
        "uordblks",
        "fordblks",
        "keepcost"
    })
    public static final class Counts extends Structure implements Structure.ByValue {
        public NativeLong arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
    }

    /** Loaded when first asked for. */
    private static final class Glibc {
        private static final CLibrary library = Native.load("c", CLibrary.class);
    }

    private Memory() {}

    /** Bytes that native code has allocated and not freed, over all tensors and everything else. */
    public static long allocatedBytes() {
        if (!Platform.isLinux()) {
            return -1;
        }
        try {
            Counts counts = Glibc.library.mallinfo2();
            return counts.uordblks.longValue() + counts.hblkhd.longValue();
        } catch (LinkageError e) {
            return -1; // not glibc 2.33 or later
        }
    }

    public static long residentBytes() {
        return kibibytes("/proc/self/status", "VmRSS:");
    }

    public static long peakResidentBytes() {
        return kibibytes("/proc/self/status", "VmHWM:");
    }

    /** What the machine could still give to its processes. A limit on this process alone may be lower. */
    static long availableBytes() {
        return kibibytes("/proc/meminfo", "MemAvailable:");
    }

    private static long kibibytes(String file, String field) {
        try (var lines = Files.lines(Path.of(file))) {
            return lines.filter(line -> line.startsWith(field))
                    .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024)
                    .findFirst()
                    .orElse(-1);
        } catch (IOException e) {
            return -1;
        }
    }
}
