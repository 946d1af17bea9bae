package org.nanodo.runtime;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Platform;

/** What is called of the system's C library. */
interface CLibrary extends Library {
    /** @throws LinkageError if JNA has no natives for this platform, or cannot unpack them */
    static CLibrary load() {
        return Native.load(Platform.C_LIBRARY_NAME, CLibrary.class);
    }

    int setenv(String name, String value, int overwrite);

    int mallopt(int parameter, int value);

    int setpriority(int which, int who, int niceness);
}
