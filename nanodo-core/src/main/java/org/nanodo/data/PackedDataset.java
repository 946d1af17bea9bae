package org.nanodo.data;

import java.util.ArrayList;
import java.util.function.Consumer;
import org.nanodo.source.DocumentIndex;
import org.nanodo.source.DocumentSource;
import org.nanodo.tokenizer.Tokenizer;

/**
 * Packed rows of a text source, batch after batch. A value: each method returns a changed copy, and any number of
 * iterators may run over one.
 *
 * <pre>{@code
 * PackedDataset.of(TextSource.files(path)).tokenizer(Tokenizer.bytes()).length(128).batch(16).shuffle(42)
 * }</pre>
 *
 * @param mixture the sources of documents; mostly a single one
 * @param tokenizer what encodes texts, or what tokens are of; pads
 * @param length tokens a row, L
 * @param batch rows a batch over all ranks, B
 * @param epochs passes over each source; {@link #ENDLESS} by default
 * @param shuffles whether shards, documents and rows come in a seeded random order, another one every epoch
 * @param shuffleBuffer bytes of documents that are shuffled together, over all sources; 0 until set
 * @param packing how documents become rows
 * @param documentMask whether tokens see those of their own document only
 * @param rank which of {@code world} equal parts of every batch the iterators serve
 */
public record PackedDataset(
        Mixture mixture,
        Tokenizer tokenizer,
        int length,
        int batch,
        long epochs,
        boolean shuffles,
        long seed,
        long shuffleBuffer,
        Packing packing,
        boolean documentMask,
        int rank,
        int world) {
    public static final long ENDLESS = Long.MAX_VALUE;

    /** A hundred thousand documents of C4, about a third of one of its files. */
    private static final long BUFFER_BYTES = 1 << 28;

    /** They are in one array. */
    private static final int MAX_BATCH_TOKENS = 1 << 30;

    /** In the window that is served and in the one ahead, and as input, target and weight in a batch. */
    private static final int BYTES_PER_TOKEN = 5 * Integer.BYTES;

    public PackedDataset {
        check(length >= 2, "A row of " + length + " tokens has nothing to predict: length has to be at least 2");
        check(batch >= 1, "batch is " + batch + ", it has to be at least 1");
        check(epochs >= 1, "epochs is " + epochs + ", it has to be at least 1");
        check(shuffleBuffer >= 0, "A shuffle buffer of " + shuffleBuffer + " bytes: it has to have at least 1");
        check(rank >= 0 && rank < world, "Rank " + rank + " is not one of " + world);
        check(batch % world == 0, "A batch of " + batch + " rows does not divide among " + world + " ranks");
    }

    /** Byte tokens, rows of 512, batches of 16, endless, in the source's order, until said otherwise. */
    public static PackedDataset of(DocumentSource source) {
        return of(Mixture.of(source, 1));
    }

    /** The same of several sources. */
    public static PackedDataset of(Mixture mixture) {
        return new PackedDataset(mixture, Tokenizer.bytes(), 512, 16, ENDLESS, false, 0, 0, Packing.NOAM, false, 0, 1);
    }

    public PackedDataset tokenizer(Tokenizer tokenizer) {
        return with(to -> to.tokenizer = tokenizer);
    }

    public PackedDataset length(int length) {
        return with(to -> to.length = length);
    }

    public PackedDataset batch(int batch) {
        return with(to -> to.batch = batch);
    }

    /**
     * So many passes; the last row and the last batch are then filled up with padding of weight zero. A mixture ends with
     * the source that has had this many first.
     */
    public PackedDataset epochs(long epochs) {
        return with(to -> to.epochs = epochs);
    }

    /**
     * A new random order every epoch: of all documents, where each can be read by itself, as files, lines, sections and plain
     * JSON lines can; otherwise of shards, and of documents within a {@linkplain #shuffleBuffer buffer}. Then of rows among
     * the million tokens packed with them. The lines of plain JSON-lines files are found first, at more than a gigabyte a
     * second, and take eight bytes of memory each.
     */
    public PackedDataset shuffle(long seed) {
        return with(to -> {
            to.shuffles = true;
            to.seed = seed;
        });
    }

    /**
     * How many bytes of documents are shuffled together where files can only be read in order, as gzip and Parquet files; the
     * sources of a mixture share them. They are in memory, and read before training begins. 256 MiB unless set. Once set, plain
     * JSON lines are read in order, too: training on very many of them then begins without finding all lines first.
     */
    public PackedDataset shuffleBuffer(long bytes) {
        check(bytes >= 1, "A shuffle buffer of " + bytes + " bytes: it has to have at least 1");
        return with(to -> to.shuffleBuffer = bytes);
    }

    /** By which a source is shuffled as a whole; null, if it goes through the buffer. */
    DocumentIndex index(DocumentSource source) {
        DocumentIndex index = source.index();
        return index != null && (shuffleBuffer == 0 || index.isOfShards()) ? index : null;
    }

    /** Of each source. */
    long bufferOfEach() {
        long all = shuffleBuffer == 0 ? BUFFER_BYTES : shuffleBuffer;
        return Math.max(1, all / mixture.parts().size());
    }

    /**
     * How documents are put in order, as far as positions depend on it: "permutation" or the buffer's bytes for each source.
     * Null, where each shard is one document or nothing is shuffled.
     */
    public String documentOrder() {
        var orders = new ArrayList<String>();
        boolean isOfShards = true;
        for (Mixture.Part part : mixture.parts()) {
            DocumentIndex index = shuffles ? index(part.source()) : null;
            isOfShards &= !shuffles || index != null && index.isOfShards();
            orders.add(index == null ? "buffer of " + bufferOfEach() + " bytes" : "permutation");
        }
        return isOfShards ? null : String.join(", ", orders);
    }

    /** Default: {@link Packing#NOAM}. */
    public PackedDataset packing(Packing packing) {
        return with(to -> to.packing = packing);
    }

    /**
     * Keeps attention within documents, where a packed row has several. Positions are those in the row all the same. Costs a mask
     * of L·L a row, and the attention kernels that do without one.
     */
    public PackedDataset documentMask(boolean masks) {
        return with(to -> to.documentMask = masks);
    }

    /** The part of one rank. All ranks together serve the same batches as a single one. */
    public PackedDataset shard(int rank, int world) {
        return with(to -> {
            to.rank = rank;
            to.world = world;
        });
    }

    /**
     * Batches from the beginning. Close it to stop its background thread.
     *
     * @throws java.io.UncheckedIOException if a file that is to be shuffled cannot be opened
     * @throws IllegalArgumentException if a batch does not fit into the memory of this JVM
     */
    public BatchIterator iterator() {
        // Not before, when length and batch may still be set one after the other.
        long tokens = (long) length * batch;
        long memory = Runtime.getRuntime().maxMemory();
        check(
                tokens <= MAX_BATCH_TOKENS && tokens * BYTES_PER_TOKEN <= memory,
                "A batch of " + batch + " rows of " + length + " tokens is " + tokens + " tokens, which take "
                        + BYTES_PER_TOKEN + " bytes each; at most " + MAX_BATCH_TOKENS
                        + " are possible, and this JVM has "
                        + (memory >> 20) + " MiB: use a smaller batch or shorter rows, or raise -Xmx");
        return new BatchIterator(this);
    }

    /** A copy that can be changed. */
    private static final class Draft {
        private Mixture mixture;
        private Tokenizer tokenizer;
        private int length;
        private int batch;
        private long epochs;
        private boolean shuffles;
        private long seed;
        private long shuffleBuffer;
        private Packing packing;
        private boolean documentMask;
        private int rank;
        private int world;
    }

    private PackedDataset with(Consumer<Draft> change) {
        var to = new Draft();
        to.mixture = mixture;
        to.tokenizer = tokenizer;
        to.length = length;
        to.batch = batch;
        to.epochs = epochs;
        to.shuffles = shuffles;
        to.seed = seed;
        to.shuffleBuffer = shuffleBuffer;
        to.packing = packing;
        to.documentMask = documentMask;
        to.rank = rank;
        to.world = world;
        change.accept(to);
        return new PackedDataset(
                to.mixture,
                to.tokenizer,
                to.length,
                to.batch,
                to.epochs,
                to.shuffles,
                to.seed,
                to.shuffleBuffer,
                to.packing,
                to.documentMask,
                to.rank,
                to.world);
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
