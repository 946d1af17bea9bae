package org.nanodo.source;

import java.io.IOException;
import java.util.function.IntUnaryOperator;
import java.util.function.UnaryOperator;

/**
 * Access to the documents of a source by number, shard after shard, in any order and from any thread. The documents are found
 * when the index is first used.
 */
public final class DocumentIndex {
    @FunctionalInterface
    public interface Search {
        Found search() throws IOException;
    }

    @FunctionalInterface
    public interface Documents {
        UnreadDocument get(int number) throws IOException;
    }

    /** @param first the number of a shard's first document; for the number of shards, the number of documents */
    public record Found(IntUnaryOperator first, Documents documents) {}

    private final boolean isOfShards;
    private final Search search;
    private Found found;

    public DocumentIndex(Search search) {
        this(search, false);
    }

    DocumentIndex(Search search, boolean isOfShards) {
        this.search = search;
        this.isOfShards = isOfShards;
    }

    /** Indexes a source whose shards are one document each. */
    static DocumentIndex ofShards(DocumentSource source) {
        Documents documents = number -> {
            try (var shard = source.open(number)) {
                return shard.next();
            }
        };
        return new DocumentIndex(() -> new Found(shard -> shard, documents), true);
    }

    /** Returns an index of the same documents, each changed by a function. */
    DocumentIndex map(UnaryOperator<UnreadDocument> change) {
        return new DocumentIndex(() -> new Found(found().first, number -> change.apply(document(number))), isOfShards);
    }

    /** Returns whether each shard is one document. */
    public boolean isOfShards() {
        return isOfShards;
    }

    /** Returns the number of a shard's first document; for the number of shards, the number of documents. */
    public int first(int shard) throws IOException {
        return found().first.applyAsInt(shard);
    }

    public UnreadDocument document(int number) throws IOException {
        return found().documents.get(number);
    }

    private synchronized Found found() throws IOException {
        if (found == null) {
            found = search.search();
        }
        return found;
    }
}
