package org.nanodo.runtime;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.NativeLong;
import com.sun.jna.Platform;
import com.sun.jna.Structure;

/** The functions of the system's C library that this package calls. */
interface CLibrary extends Library {
    /** @throws LinkageError if JNA has no natives for this platform, or cannot unpack them */
    static CLibrary load() {
        return Loaded.library;
    }

    int setenv(String name, String value, int overwrite);

    int mallopt(int parameter, int value);

    int setpriority(int which, int who, int niceness);

    /** @throws LinkageError if the library is not glibc 2.33 or later */
    Counts mallinfo2();

    /** The struct mallinfo2 of glibc. */
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
    final class Counts extends Structure implements Structure.ByValue {
        public NativeLong arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
    }

    /** Loads the library at its first use. */
    final class Loaded {
        private static final CLibrary library = Native.load(Platform.C_LIBRARY_NAME, CLibrary.class);
    }
}
