package org.nanodo.tokenizer;

import java.io.IOException;
import java.util.concurrent.Callable;
import org.nanodo.files.OptionalLibrary;

/** The Deep Java Library's bindings to tokenizers, which are on the class path only of those who put them there. */
final class Djl {
    private static final String OFFLINE = "ai.djl.offline";

    private Djl() {}

    /**
     * Opens what needs these artifacts. Left to itself, DJL reports its first start of the day from machines in Amazon's
     * cloud, and waits seconds for an answer elsewhere; with a GPU it downloads another build. It is told not to meanwhile.
     *
     * @throws IllegalStateException if the libraries are not there, or not for this machine
     */
    static synchronized <T> T open(OptionalLibrary library, Callable<T> opening) throws IOException {
        library.require();
        String before = System.getProperty(OFFLINE);
        System.setProperty(OFFLINE, "true");
        try {
            return opening.call();
        } catch (IOException | RuntimeException e) {
            throw e;
        } catch (LinkageError e) {
            throw new IllegalStateException(
                    library.artifacts() + " cannot be loaded on this machine, " + System.getProperty("os.name") + " on "
                            + System.getProperty("os.arch") + ": " + e,
                    e);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        } finally {
            if (before == null) {
                System.clearProperty(OFFLINE);
            } else {
                System.setProperty(OFFLINE, before);
            }
        }
    }
}
