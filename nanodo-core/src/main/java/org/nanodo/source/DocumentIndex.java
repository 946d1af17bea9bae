package org.nanodo.source;

import java.io.IOException;

/**
 * Access to the documents of a source by number, shard after shard, in any order and from any thread.
 *
 * @param isOfShards whether each shard is one document
 */
public record DocumentIndex(Firsts firsts, Documents documents, boolean isOfShards) {
    @FunctionalInterface
    public interface Firsts {
        int first(int shard) throws IOException;
    }

    @FunctionalInterface
    public interface Documents {
        UnreadDocument document(int number) throws IOException;
    }

    /** Indexes a source whose shards are one document each. */
    static DocumentIndex ofShards(DocumentSource source) {
        return new DocumentIndex(
                shard -> shard,
                number -> {
                    try (var shard = source.open(number)) {
                        return shard.next();
                    }
                },
                true);
    }

    /** Returns the number of a shard's first document; for the number of shards, the number of documents. */
    public int first(int shard) throws IOException {
        return firsts.first(shard);
    }

    public UnreadDocument document(int number) throws IOException {
        return documents.document(number);
    }
}
