package org.nanodo.data;

/**
 * Where a dataset goes on: {@code row} rows into the window of rows that starts at a token of a document. Documents count
 * in the order of their epoch.
 */
public record Position(long epoch, int document, int token, int row) {
    static final Position START = new Position(0, 0, 0, 0);
}
