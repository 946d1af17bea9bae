package org.nanodo.data;

import org.nanodo.source.UnreadDocument.Tokens;

/**
 * The total length of documents.
 *
 * @param targets the number of tokens to predict: all tokens including BOS and EOS, but not the first one if each document has
 *     a row of its own
 * @param bytes the length of the text in UTF-8
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
