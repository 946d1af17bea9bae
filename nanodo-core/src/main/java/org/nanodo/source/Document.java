package org.nanodo.source;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import org.nanodo.tokenizer.Tokenizer;

/**
 * A text document.
 *
 * @param name the document's name in messages
 * @param malformed the number of places where the bytes were not UTF-8, each replaced by U+FFFD
 */
public record Document(String name, String text, int malformed) {
    /** The largest document, in UTF-8. A Java string is limited to 2 GiB, and the tokens take four times as much as the text. */
    static final int MAX_BYTES = 1 << 30;

    private static final char REPLACEMENT = '\uFFFD';

    /**
     * Reads a stream to its end and decodes it as UTF-8.
     *
     * @throws IOException if the stream has more bytes than a document may have
     */
    static Document read(String name, InputStream in) throws IOException {
        byte[] bytes = in.readNBytes(MAX_BYTES + 1);
        checkLength(bytes.length);
        return decode(name, bytes);
    }

    static void checkLength(long bytes) throws IOException {
        if (bytes > MAX_BYTES) {
            throw new IOException("it is longer than the " + MAX_BYTES
                    + " bytes that a document may have. Divide a large text with TextSource.sections");
        }
    }

    /** Returns the error for a document of legal length that exceeds the memory of this JVM. */
    static IOException tooLarge(String name, OutOfMemoryError e) {
        return new IOException(
                name + ": it does not fit into the " + (Runtime.getRuntime().maxMemory() >> 20)
                        + " MiB of memory that this JVM may use: raise -Xmx, or divide the text",
                e);
    }

    /** Encodes the text: BOS, its ids, EOS. An empty text has no tokens. */
    public UnreadDocument.Tokens encode(Tokenizer tokenizer) throws IOException {
        if (text.isEmpty()) {
            return new UnreadDocument.Tokens(name, new int[0], 0, 0);
        }
        int[] encoded;
        try {
            encoded = tokenizer.encode(text);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("Could not encode " + name + ": " + e.getMessage(), e);
        } catch (OutOfMemoryError e) {
            throw tooLarge("Could not encode " + name + " of " + text.length() + " characters", e);
        }
        int bos = tokenizer.bosId() == tokenizer.eosId() ? 0 : 1; // EOS of the document before serves as BOS
        int[] ids = new int[bos + encoded.length + 1];
        ids[0] = tokenizer.bosId();
        System.arraycopy(encoded, 0, ids, bos, encoded.length);
        ids[ids.length - 1] = tokenizer.eosId();
        return new UnreadDocument.Tokens(name, ids, text.getBytes(StandardCharsets.UTF_8).length, malformed);
    }

    /** Decodes UTF-8, and replaces what is malformed. */
    static Document decode(String name, byte[] bytes) {
        String text = new String(bytes, StandardCharsets.UTF_8);
        return new Document(name, text, text.indexOf(REPLACEMENT) < 0 ? 0 : countMalformed(bytes));
    }

    /** Decodes UTF-8. @throws CorruptDocumentException if the bytes are not UTF-8 */
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
