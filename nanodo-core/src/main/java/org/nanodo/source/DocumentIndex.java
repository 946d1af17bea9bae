package org.nanodo.source;

import java.io.IOException;
import java.util.function.BooleanSupplier;
import java.util.function.IntFunction;

/** Documents of a source by number, shard after shard, each of which can be read without the others, by any thread. */
public interface DocumentIndex {
    /** The number of a shard's first document; of one shard more than there are, how many documents there are. */
    int first(int shard) throws IOException;

    /** One of them, not yet read. */
    UnreadDocument document(int number) throws IOException;

    /** Whether each shard is one document. */
    default boolean isOfShards() {
        return false;
    }

    /** Of a source whose shards are one document each. */
    static DocumentIndex ofShards(DocumentSource source) {
        return new DocumentIndex() {
            @Override
            public int first(int shard) {
                return shard;
            }

            @Override
            public UnreadDocument document(int number) throws IOException {
                try (var shard = source.open(number)) {
                    return shard.next();
                }
            }

            @Override
            public boolean isOfShards() {
                return true;
            }
        };
    }

    /** Some of another one's, in their order; four bytes each. */
    final class Part implements DocumentIndex {
        private final DocumentIndex all;
        private final int shards;
        private final IntFunction<BooleanSupplier> memberships;
        private Offsets chosen;

        /** @param memberships of a shard's documents, one after the other */
        Part(DocumentIndex all, int shards, IntFunction<BooleanSupplier> memberships) {
            this.all = all;
            this.shards = shards;
            this.memberships = memberships;
        }

        @Override
        public int first(int shard) throws IOException {
            return chosen().countTo(all.first(shard) - 1L);
        }

        @Override
        public UnreadDocument document(int number) throws IOException {
            return all.document((int) chosen().get(number));
        }

        private synchronized Offsets chosen() throws IOException {
            if (chosen == null) {
                var found = new Offsets();
                for (int shard = 0; shard < shards; shard++) {
                    BooleanSupplier membership = memberships.apply(shard);
                    for (int number = all.first(shard); number < all.first(shard + 1); number++) {
                        if (membership.getAsBoolean()) {
                            found.add(number);
                        }
                    }
                }
                chosen = found;
            }
            return chosen;
        }
    }
}
