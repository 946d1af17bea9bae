package org.nanodo.source;

import java.io.IOException;
import org.nanodo.tokenizer.Tokenizer;

/** A document that was found but not yet decoded: one thread finds documents, any thread may decode them. */
@FunctionalInterface
public interface UnreadDocument {
    /**
     * Decodes the document and encodes it as tokens. A document without tokens is skipped.
     *
     * @throws CorruptDocumentException if this document cannot be used, but those around it can
     */
    Tokens tokens(Tokenizer tokenizer) throws IOException;

    /** Returns the number of bytes that this object keeps in memory. */
    default int bytes() {
        return 0;
    }

    /**
     * A document as tokens.
     *
     * @param name the document's name in messages
     * @param ids for a text, BOS, its ids and EOS; for a document of tokens, these as they are
     * @param textBytes the length of the text in UTF-8; 0 for a document of tokens
     * @param malformed the number of places where the bytes were not UTF-8
     */
    record Tokens(String name, int[] ids, int textBytes, int malformed) {}
}
