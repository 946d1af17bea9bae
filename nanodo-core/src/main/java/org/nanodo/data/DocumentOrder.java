package org.nanodo.data;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.nanodo.data.Position.Place;

/**
 * The documents of one source in the order of training, not yet read: shard after shard, epoch after epoch. When shuffled,
 * shards come in another order every epoch, and a shard's documents in blocks that are shuffled: a compressed file can only
 * be read from its beginning. The order of a shard depends on nothing else, so that any place in it can be found again.
 */
final class DocumentOrder implements AutoCloseable {
    /** A block is in memory, so its bytes are bounded too; 8192 of C4's documents take about that. */
    private static final int BLOCK_DOCUMENTS = 8192;

    private static final int BLOCK_BYTES = 16 << 20;

    record Entry(Place place, UnreadDocument document) {}

    private final DocumentSource source;
    private final boolean shuffles;
    private final long seed;
    private final long epochs;
    private long epoch;
    private int shard;
    private int document;
    private int[] shards; // in the order of this epoch, if shuffled
    private long shardsEpoch = -1;
    private DocumentReader reader;
    private final List<UnreadDocument> block = new ArrayList<>();
    private int[] blockOrder;
    private int blockStart;
    private int blockTaken;
    private boolean closed;

    DocumentOrder(DocumentSource source, boolean shuffles, long seed, long epochs) {
        this.source = source;
        this.shuffles = shuffles;
        this.seed = seed;
        this.epochs = epochs;
    }

    /** Of the next document, as far as it is known that the shard goes on. */
    synchronized Place place() {
        return new Place(epoch, shard, document, 0);
    }

    /** Makes that place's document the next one, at the cost of going through the shard up to it. */
    synchronized void seek(Place place) throws IOException {
        moveTo(place.epoch(), place.shard());
        while (document < place.document()) {
            if (nextOfShard() == null) {
                throw new IllegalArgumentException(
                        place + " is beyond the end of its shard: it was taken from another dataset");
            }
            document++;
        }
    }

    /** Null after the last epoch. @throws IllegalArgumentException if a whole epoch has no document */
    synchronized Entry next() throws IOException {
        for (int empty = 0; epoch < epochs; ) {
            UnreadDocument next = nextOfShard();
            if (next != null) {
                return new Entry(new Place(epoch, shard, document++, 0), next);
            }
            if (document == 0 && ++empty == source.size()) {
                throw new IllegalArgumentException("The source has no documents: none of its " + source.size()
                        + " shards has one, such as " + source.name(0));
            }
            boolean last = shard + 1 == source.size();
            moveTo(last ? epoch + 1 : epoch, last ? 0 : shard + 1);
        }
        return null;
    }

    private void moveTo(long epoch, int shard) throws IOException {
        closeReader();
        this.epoch = epoch;
        this.shard = shard;
        document = 0;
    }

    private UnreadDocument nextOfShard() throws IOException {
        if (reader == null) {
            open();
        }
        if (!shuffles) {
            return reader.next();
        }
        if (blockTaken == block.size()) {
            fillBlock();
        }
        return block.isEmpty() ? null : block.get(blockOrder[blockTaken++]);
    }

    private void open() throws IOException {
        if (closed) {
            throw new IllegalStateException("Closed");
        }
        if (shuffles && shardsEpoch != epoch) {
            shards = Shuffle.permutation(source.size(), seed, -epoch);
            shardsEpoch = epoch;
        }
        reader = source.open(shuffles ? shards[shard] : shard);
    }

    private void fillBlock() throws IOException {
        blockStart += block.size();
        block.clear();
        blockTaken = 0;
        for (long bytes = 0; block.size() < BLOCK_DOCUMENTS && bytes < BLOCK_BYTES; ) {
            UnreadDocument next = reader.next();
            if (next == null) {
                break;
            }
            block.add(next);
            bytes += next.bytes();
        }
        long turn = (epoch * source.size() + shard) << 32 | blockStart;
        blockOrder = Shuffle.permutation(block.size(), ~seed, turn);
    }

    private void closeReader() throws IOException {
        if (reader != null) {
            reader.close();
            reader = null;
        }
        block.clear();
        blockStart = 0;
        blockTaken = 0;
    }

    @Override
    public synchronized void close() {
        closed = true;
        try {
            closeReader();
        } catch (IOException e) {
            // It was only read, and is read no more.
        }
    }
}
