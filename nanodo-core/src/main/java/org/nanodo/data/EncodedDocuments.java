package org.nanodo.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A dataset's documents as ids, in the order of training, read and encoded by several threads ahead of the one that asks.
 * Those asked for again, as a long document is by one window after another, are not encoded again.
 */
final class EncodedDocuments implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(EncodedDocuments.class);
    private static final int THREADS = Runtime.getRuntime().availableProcessors();

    /** Short documents go to a thread by the hundred: handing a task over costs as much as encoding a kilobyte. */
    private static final int CHUNK_TOKENS = 1 << 16;

    private static final int CHUNK_DOCUMENTS = 256;

    /** What may wait in memory, as far as the documents before let one guess: 16 MiB. */
    private static final long AHEAD_TOKENS = 1 << 22;

    /** Documents start to end (exclusive) in the order of an epoch, and what came of each. */
    private record Chunk(int start, int end, Future<List<Encoded>> documents) {}

    /**
     * A document.
     *
     * @param ids BOS, those of its text, EOS; of tokens as they are
     * @param bytes of its text in UTF-8; 0 of tokens
     */
    record Encoded(int[] ids, long bytes, RuntimeException failure) {}

    private final PackedDataset dataset;
    private final Set<Integer> warned = ConcurrentHashMap.newKeySet();
    private final ArrayDeque<Chunk> ahead = new ArrayDeque<>();
    private final ExecutorService encoders = Executors.newFixedThreadPool(THREADS, task -> {
        var thread = new Thread(task, "nanodo-encoder");
        thread.setDaemon(true);
        return thread;
    });
    private long epoch = -1;
    private int[] order;
    private double meanTokens = AHEAD_TOKENS; // until the first is known

    EncodedDocuments(PackedDataset dataset) {
        this.dataset = dataset;
    }

    /** The document at that position of an epoch. For one thread. */
    Encoded get(long epoch, int position) {
        if (this.epoch != epoch) {
            this.epoch = epoch;
            order = dataset.shuffles() ? Shuffle.permutation(dataset.source().size(), dataset.seed(), -epoch) : null;
            ahead.clear();
        }
        while (!ahead.isEmpty() && (ahead.peek().end <= position || ahead.peek().start > position)) {
            ahead.poll();
        }
        int end = ahead.isEmpty() ? position : ahead.getLast().end;
        while (end < dataset.source().size()
                && (ahead.isEmpty() || ahead.size() <= THREADS && (end - position) * meanTokens < AHEAD_TOKENS)) {
            end = submit(end);
        }
        Chunk chunk = ahead.element();
        Encoded document = BatchIterator.await(chunk.documents).get(position - chunk.start);
        if (document.failure != null) {
            throw document.failure;
        }
        meanTokens = meanTokens == AHEAD_TOKENS ? document.ids.length : 0.9 * meanTokens + 0.1 * document.ids.length;
        return document;
    }

    private int submit(int start) {
        int count = (int) Math.max(1, Math.min(CHUNK_DOCUMENTS, CHUNK_TOKENS / meanTokens));
        int end = Math.min(dataset.source().size(), start + count);
        int[] indices = IntStream.range(start, end)
                .map(i -> order == null ? i : order[i])
                .toArray();
        var task = new FutureTask<>(
                () -> Arrays.stream(indices).mapToObj(this::encoded).toList());
        boolean all = ahead.isEmpty() && end == dataset.source().size();
        if (all) {
            task.run(); // nothing to wait for that could be encoded meanwhile
        } else {
            encoders.execute(task);
        }
        ahead.add(new Chunk(start, end, task));
        return end;
    }

    private Encoded encoded(int index) {
        try {
            return encode(index);
        } catch (RuntimeException e) {
            return new Encoded(null, 0, e); // for when its turn comes
        }
    }

    private Encoded encode(int index) {
        try {
            return dataset.source() instanceof TextSource texts
                    ? encode(index, texts.read(index))
                    : new Encoded(((TokenSource) dataset.source()).ids(index, dataset.tokenizer()), 0, null);
        } catch (IOException e) {
            throw new UncheckedIOException("Could not read " + dataset.source().name(index) + ": " + e.getMessage(), e);
        }
    }

    private Encoded encode(int index, Document document) {
        if (document.malformed() > 0 && warned.add(index)) {
            log.warn("{} is not UTF-8 in {} places, each now reads U+FFFD", document.name(), document.malformed());
        }
        Tokenizer tokenizer = dataset.tokenizer();
        int[] text = encode(tokenizer, document);
        int bos = tokenizer.bosId() == tokenizer.eosId() ? 0 : 1;
        int[] ids = new int[bos + text.length + 1];
        ids[0] = tokenizer.bosId();
        System.arraycopy(text, 0, ids, bos, text.length);
        ids[ids.length - 1] = tokenizer.eosId();
        return new Encoded(ids, document.text().getBytes(StandardCharsets.UTF_8).length, null);
    }

    private static int[] encode(Tokenizer tokenizer, Document document) {
        try {
            return tokenizer.encode(document.text());
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("Could not encode " + document.name() + ": " + e.getMessage(), e);
        }
    }

    @Override
    public void close() {
        encoders.shutdownNow();
    }
}
