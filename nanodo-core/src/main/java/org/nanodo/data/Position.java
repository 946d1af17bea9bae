package org.nanodo.data;

import com.fasterxml.jackson.annotation.JsonSetter;
import com.fasterxml.jackson.annotation.Nulls;
import java.util.Collections;
import java.util.List;

/**
 * A position in a dataset, from which a run can resume.
 *
 * @param sources for each source of the mixture, the document at which the current window of rows starts
 * @param token the token of the next document at which the window starts
 * @param row the number of rows of the window that were served
 */
public record Position(List<SourcePosition> sources, int token, int row) {
    public Position {
        sources = List.copyOf(sources);
    }

    /**
     * The position of the next document of a source.
     *
     * @param epoch the number of completed passes over the source
     * @param shard the number of completed shards in this epoch; of documents, if all are in one random order
     * @param document the number of completed documents in this shard
     * @param drawn the number of documents drawn from the shuffle buffer that is filled from this position on; 0 in checkpoints
     *     of versions without a buffer
     * @param tokens the number of tokens drawn from the source, over all epochs
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

    /** Returns the number of tokens before this position. */
    long tokens() {
        return token + sources.stream().mapToLong(SourcePosition::tokens).sum();
    }
}
