package org.nanodo.data;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;

/**
 * A text with the name it is known by in messages.
 *
 * @param malformed places where the bytes were not UTF-8, each now a U+FFFD
 */
public record Document(String name, String text, int malformed) {
    private static final char REPLACEMENT = '\uFFFD';

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
