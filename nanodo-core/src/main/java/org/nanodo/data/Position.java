package org.nanodo.data;

import com.fasterxml.jackson.annotation.JsonSetter;
import com.fasterxml.jackson.annotation.Nulls;
import java.util.Collections;
import java.util.List;

/**
 * Where a dataset goes on: {@code row} rows into the window of rows that starts at these places of its sources, and at a
 * token of the document that is next.
 *
 * @param sources one place for each source of the mixture, in its order
 */
public record Position(List<SourcePosition> sources, int token, int row) {
    public Position {
        sources = List.copyOf(sources);
    }

    /**
     * The next document of a source.
     *
     * @param epoch passes made over the source
     * @param shard shards passed in this epoch, in its order; documents, where all of them are in one random order
     * @param document documents passed in this shard, in its order
     * @param drawn documents drawn, in random order, from those that the shuffle buffer is filled with from there on; 0, too,
     *     in checkpoints from before there was one
     * @param tokens tokens drawn from the source so far, in all epochs
     */
    public record SourcePosition(
            long epoch, int shard, int document, @JsonSetter(nulls = Nulls.AS_EMPTY) int drawn, long tokens) {
        boolean isSameDocument(SourcePosition other) {
            return epoch == other.epoch && shard == other.shard && document == other.document && drawn == other.drawn;
        }

        SourcePosition after(long tokens) {
            return new SourcePosition(epoch, shard, document, drawn, tokens);
        }
    }

    static Position start(int sources) {
        return new Position(Collections.nCopies(sources, new SourcePosition(0, 0, 0, 0, 0)), 0, 0);
    }

    /** Tokens drawn before this one. */
    long tokens() {
        return token + sources.stream().mapToLong(SourcePosition::tokens).sum();
    }
}
