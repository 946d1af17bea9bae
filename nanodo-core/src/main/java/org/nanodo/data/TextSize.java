package org.nanodo.data;

import org.nanodo.source.UnreadDocument.Tokens;

/**
 * How long documents are.
 *
 * @param targets tokens to predict: all of a document, BOS and EOS included, but in a row of its own not the first
 * @param bytes of their text in UTF-8
 */
public record TextSize(long targets, long bytes) {
    static final TextSize NONE = new TextSize(0, 0);

    static TextSize of(Tokens document, Packing packing) {
        int first = packing == Packing.PADDED ? 1 : 0;
        return new TextSize(Math.max(0, document.ids().length - first), document.textBytes());
    }

    TextSize plus(TextSize other) {
        return new TextSize(targets + other.targets, bytes + other.bytes);
    }
}
