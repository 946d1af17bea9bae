package org.nanodo.data;

/**
 * How long documents are.
 *
 * @param tokens BOS and EOS included
 * @param bytes of their text in UTF-8
 */
public record TextSize(long tokens, long bytes) {
    static final TextSize NONE = new TextSize(0, 0);

    TextSize plus(TextSize other) {
        return new TextSize(tokens + other.tokens, bytes + other.bytes);
    }
}
