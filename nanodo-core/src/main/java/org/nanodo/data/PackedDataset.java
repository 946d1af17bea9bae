package org.nanodo.data;

import java.util.ArrayList;
import org.nanodo.source.DocumentIndex;
import org.nanodo.source.DocumentSource;
import org.nanodo.tokenizer.Tokenizer;

/**
 * Documents packed into rows and batches. An immutable value: each method returns a changed copy, and any number of iterators
 * may use it.
 *
 * <pre>{@code
 * PackedDataset.of(TextSource.files(path)).tokenizer(Tokenizer.bytes()).length(128).batch(16).shuffle(42)
 * }</pre>
 *
 * @param mixture the sources of documents, usually a single one
 * @param tokenizer encodes texts, or wrote the tokens of the source; provides the padding
 * @param length the number of tokens in a row, L
 * @param batch the number of rows in a batch over all ranks, B
 * @param epochs the number of passes over each source; {@link #ENDLESS} by default
 * @param shuffles whether shards, documents and rows come in a seeded random order, another one every epoch
 * @param buffer the size in bytes of the {@linkplain #shuffleBuffer shuffle buffer}, over all sources; 0 until set
 * @param documentMask whether tokens attend only to tokens of their own document
 * @param rank which of {@code world} equal parts of each batch the iterators serve
 */
public record PackedDataset(
        Mixture mixture,
        Tokenizer tokenizer,
        int length,
        int batch,
        long epochs,
        boolean shuffles,
        long seed,
        long buffer,
        Packing packing,
        boolean documentMask,
        int rank,
        int world) {
    public static final long ENDLESS = Long.MAX_VALUE;

    /** A hundred thousand documents of C4, about a third of one of its files. */
    private static final long BUFFER_BYTES = 1 << 28;

    /** The tokens of a batch are in one array. */
    private static final int MAX_BATCH_TOKENS = 1 << 30;

    /** Each token is in the window that is served or in the one ahead, and is input, target and weight of a batch. */
    private static final int BYTES_PER_TOKEN = 5 * Integer.BYTES;

    public PackedDataset {
        check(length >= 2, "A row of " + length + " tokens has nothing to predict: length must be at least 2");
        check(batch >= 1, "batch is " + batch + ", but must be at least 1");
        check(epochs >= 1, "epochs is " + epochs + ", but must be at least 1");
        check(buffer >= 0, "A shuffle buffer of " + buffer + " bytes: it must have at least 1");
        check(rank >= 0 && rank < world, "Rank " + rank + " is not one of " + world);
        check(batch % world == 0, "A batch of " + batch + " rows does not divide among " + world + " ranks");
    }

    /** Creates a dataset with these defaults: byte tokens, rows of 512, batches of 16, endless, in the order of the source. */
    public static PackedDataset of(DocumentSource source) {
        return of(Mixture.of(source, 1));
    }

    /** Creates a dataset of several sources with the same defaults. */
    public static PackedDataset of(Mixture mixture) {
        return new PackedDataset(mixture, Tokenizer.bytes(), 512, 16, ENDLESS, false, 0, 0, Packing.NOAM, false, 0, 1);
    }

    public PackedDataset tokenizer(Tokenizer tokenizer) {
        return new PackedDataset(
                mixture, tokenizer, length, batch, epochs, shuffles, seed, buffer, packing, documentMask, rank, world);
    }

    public PackedDataset length(int length) {
        return new PackedDataset(
                mixture, tokenizer, length, batch, epochs, shuffles, seed, buffer, packing, documentMask, rank, world);
    }

    public PackedDataset batch(int batch) {
        return new PackedDataset(
                mixture, tokenizer, length, batch, epochs, shuffles, seed, buffer, packing, documentMask, rank, world);
    }

    /**
     * Ends the data after this many passes. The last row and batch are filled with padding of weight zero. A mixture ends when
     * the first of its sources does.
     */
    public PackedDataset epochs(long epochs) {
        return new PackedDataset(
                mixture, tokenizer, length, batch, epochs, shuffles, seed, buffer, packing, documentMask, rank, world);
    }

    /**
     * Shuffles, with a new random order every epoch. Documents that can be read individually, such as files, lines, sections
     * and plain JSON lines, are shuffled as a whole; otherwise shards are shuffled, and documents within a
     * {@linkplain #shuffleBuffer buffer}. Rows are then shuffled within about a million tokens. The lines of plain JSON-lines
     * files are found first, at more than a gigabyte per second, and take eight bytes of memory each.
     */
    public PackedDataset shuffle(long seed) {
        return new PackedDataset(
                mixture, tokenizer, length, batch, epochs, true, seed, buffer, packing, documentMask, rank, world);
    }

    /**
     * Sets the size of the shuffle buffer for files that can only be read in order, such as gzip and Parquet files; the default
     * is 256 MiB. The sources of a mixture share it. It is in memory and filled before training begins. Once it is set, plain
     * JSON lines are read in order, too, so that training on very many of them begins without finding all lines first.
     */
    public PackedDataset shuffleBuffer(long bytes) {
        check(bytes >= 1, "A shuffle buffer of " + bytes + " bytes: it must have at least 1");
        return new PackedDataset(
                mixture, tokenizer, length, batch, epochs, shuffles, seed, bytes, packing, documentMask, rank, world);
    }

    /** Returns the index by which a source is shuffled as a whole; null if the source goes through the buffer. */
    DocumentIndex index(DocumentSource source) {
        DocumentIndex index = source.index();
        return index != null && (buffer == 0 || index.isOfShards()) ? index : null;
    }

    /** Returns the size of the buffer of each source. */
    long bufferOfEach() {
        return Math.max(
                1, (buffer == 0 ? BUFFER_BYTES : buffer) / mixture.parts().size());
    }

    /**
     * Describes the order of documents as far as positions depend on it: "permutation" or the size of the buffer for each
     * source. Null if each shard is one document or nothing is shuffled.
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

    /** Sets how documents become rows; the default is {@link Packing#NOAM}. */
    public PackedDataset packing(Packing packing) {
        return new PackedDataset(
                mixture, tokenizer, length, batch, epochs, shuffles, seed, buffer, packing, documentMask, rank, world);
    }

    /**
     * Limits attention to within documents if a packed row has several. Positions still count from the start of the row. This
     * costs a mask of L·L per row, and excludes the attention kernels that support no mask.
     */
    public PackedDataset documentMask(boolean masks) {
        return new PackedDataset(
                mixture, tokenizer, length, batch, epochs, shuffles, seed, buffer, packing, masks, rank, world);
    }

    /** Selects the part of one rank. All ranks together serve the same batches as a single one. */
    public PackedDataset shard(int rank, int world) {
        return new PackedDataset(
                mixture, tokenizer, length, batch, epochs, shuffles, seed, buffer, packing, documentMask, rank, world);
    }

    /**
     * Iterates over the batches from the beginning. Close the iterator to stop its background threads.
     *
     * @throws java.io.UncheckedIOException if a file that is shuffled cannot be opened
     * @throws IllegalArgumentException if a batch does not fit into the memory of this JVM
     */
    public BatchIterator iterator() {
        // Not checked earlier, because length and batch are set one after the other.
        long tokens = (long) length * batch;
        long memory = Runtime.getRuntime().maxMemory();
        check(
                tokens <= MAX_BATCH_TOKENS && tokens * BYTES_PER_TOKEN <= memory,
                "A batch of " + batch + " rows of " + length + " tokens is " + tokens + " tokens of "
                        + BYTES_PER_TOKEN + " bytes each; the limit is " + MAX_BATCH_TOKENS
                        + " tokens, and this JVM has "
                        + (memory >> 20) + " MiB: use a smaller batch or shorter rows, or raise -Xmx");
        return new BatchIterator(this);
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
