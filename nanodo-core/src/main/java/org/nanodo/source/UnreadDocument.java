package org.nanodo.source;

import java.io.IOException;
import org.nanodo.tokenizer.Tokenizer;

/** A document that is found but not yet decoded: finding is for one thread, reading for any. */
@FunctionalInterface
public interface UnreadDocument {
    /** A document without tokens is passed over. @throws CorruptDocumentException if this one alone cannot be used */
    Tokens tokens(Tokenizer tokenizer) throws IOException;

    /** What it holds in memory until it is read. */
    default int bytes() {
        return 0;
    }

    /**
     * A document as ids.
     *
     * @param name for messages
     * @param ids of a text BOS, its ids, EOS; of tokens as they are
     * @param textBytes of its text in UTF-8; 0 of tokens
     * @param malformed places where the bytes were not UTF-8
     */
    record Tokens(String name, int[] ids, int textBytes, int malformed) {}
}
