package org.nanodo.tokenizer;

import java.io.IOException;
import org.nanodo.files.OptionalLibrary;

/** Opens tokenizers of the Deep Java Library, whose bindings are optional dependencies. */
final class Djl {
    private static final String OFFLINE = "ai.djl.offline";

    @FunctionalInterface
    interface Opener<T> {
        T open() throws IOException;
    }

    private Djl() {}

    /**
     * Calls code that needs one of the bindings, while DJL is told that the machine is offline. Otherwise DJL reports its first use
     * each day from machines in Amazon's cloud, waits seconds for an answer elsewhere, and downloads another build for GPUs.
     *
     * @throws IllegalStateException if the library is missing or cannot be loaded on this machine
     */
    static synchronized <T> T open(OptionalLibrary library, Opener<T> opener) throws IOException {
        library.require();
        String before = System.getProperty(OFFLINE);
        System.setProperty(OFFLINE, "true");
        try {
            return opener.open();
        } catch (LinkageError e) {
            throw new IllegalStateException(
                    library.artifacts() + " cannot be loaded on this machine, " + System.getProperty("os.name") + " on "
                            + System.getProperty("os.arch") + ": " + e,
                    e);
        } finally {
            if (before == null) {
                System.clearProperty(OFFLINE);
            } else {
                System.setProperty(OFFLINE, before);
            }
        }
    }
}
