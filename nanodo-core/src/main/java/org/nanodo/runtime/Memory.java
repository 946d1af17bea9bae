package org.nanodo.runtime;

import com.sun.jna.Platform;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The memory that the process uses on the host, as Linux and glibc count it; -1 where they do not. */
public final class Memory {
    private Memory() {}

    /** Returns the bytes that native code has allocated and not freed, for tensors and everything else. */
    public static long allocatedBytes() {
        if (!Platform.isLinux()) {
            return -1;
        }
        try {
            CLibrary.Counts counts = CLibrary.load().mallinfo2();
            return counts.uordblks.longValue() + counts.hblkhd.longValue();
        } catch (LinkageError e) {
            return -1;
        }
    }

    public static long residentBytes() {
        return kibibytes("/proc/self/status", "VmRSS:");
    }

    public static long peakResidentBytes() {
        return kibibytes("/proc/self/status", "VmHWM:");
    }

    /** Returns the bytes that the machine can still give to processes. A limit on this process alone may be lower. */
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
