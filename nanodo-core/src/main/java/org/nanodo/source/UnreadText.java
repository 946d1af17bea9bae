package org.nanodo.source;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.nanodo.tokenizer.Tokenizer;

/** One that is a text. */
@FunctionalInterface
public interface UnreadText extends UnreadDocument {
    /** A document without text is passed over. @throws CorruptDocumentException if this one alone cannot be used */
    Document read() throws IOException;

    @Override
    default Tokens tokens(Tokenizer tokenizer) throws IOException {
        Document document = read();
        if (document.text().isEmpty()) {
            return new Tokens(document.name(), new int[0], 0, 0);
        }
        int[] text;
        try {
            text = tokenizer.encode(document.text());
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("Could not encode " + document.name() + ": " + e.getMessage(), e);
        } catch (OutOfMemoryError e) {
            throw new IOException(
                    "Could not encode " + document.name() + " of "
                            + document.text().length() + " characters: "
                            + Document.tooLarge(e).getMessage(),
                    e);
        }
        int bos = tokenizer.bosId() == tokenizer.eosId() ? 0 : 1;
        int[] ids = new int[bos + text.length + 1];
        ids[0] = tokenizer.bosId();
        System.arraycopy(text, 0, ids, bos, text.length);
        ids[ids.length - 1] = tokenizer.eosId();
        int bytes = document.text().getBytes(StandardCharsets.UTF_8).length;
        return new Tokens(document.name(), ids, bytes, document.malformed());
    }
}
