package org.nanodo.source;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;

/**
 * A text with the name it is known by in messages.
 *
 * @param malformed places where the bytes were not UTF-8, each now a U+FFFD
 */
public record Document(String name, String text, int malformed) {
    /** Of UTF-8, in one document: Java has no text of more than 2 GiB, and its tokens take four times as much. */
    static final int MAX_BYTES = 1 << 30;

    private static final char REPLACEMENT = '\uFFFD';

    /**
     * Reads to the end and decodes UTF-8.
     *
     * @throws IOException if there are more bytes than a document may have, of which no more are read
     */
    static Document read(String name, InputStream in) throws IOException {
        byte[] bytes = in.readNBytes(MAX_BYTES);
        if (bytes.length == MAX_BYTES && in.read() >= 0) {
            throw tooLong();
        }
        return decode(name, bytes);
    }

    static IOException tooLong() {
        return new IOException("it is longer than the " + MAX_BYTES
                + " bytes that a document may have. Cut a large text up" + " with TextSource.sections");
    }

    /** For what fits a document, but not this JVM. */
    static IOException tooLarge(OutOfMemoryError e) {
        return new IOException(
                "it does not fit into the " + (Runtime.getRuntime().maxMemory() >> 20)
                        + " MiB of memory that this JVM may" + " use: raise -Xmx, or cut the text up",
                e);
    }

    /** Decodes UTF-8. */
    static Document decode(String name, byte[] bytes) {
        String text = new String(bytes, StandardCharsets.UTF_8);
        return new Document(name, text, text.indexOf(REPLACEMENT) < 0 ? 0 : countMalformed(bytes));
    }

    /** Decodes UTF-8. @throws CorruptDocumentException if it is something else */
    static Document decodeStrictly(String name, byte[] bytes) throws CorruptDocumentException {
        Document document = decode(name, bytes);
        if (document.malformed > 0) {
            throw new CorruptDocumentException(name + " is not UTF-8 in " + document.malformed + " places");
        }
        return document;
    }

    private static int countMalformed(byte[] bytes) {
        var decoder = StandardCharsets.UTF_8.newDecoder();
        var in = ByteBuffer.wrap(bytes);
        var out = CharBuffer.allocate(bytes.length);
        int malformed = 0;
        for (var result = decoder.decode(in, out, true); result.isError(); result = decoder.decode(in, out, true)) {
            in.position(in.position() + result.length());
            malformed++;
        }
        return malformed;
    }
}
