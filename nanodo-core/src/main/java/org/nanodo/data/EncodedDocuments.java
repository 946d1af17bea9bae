package org.nanodo.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A dataset's documents as ids, in the order of training, read and encoded by several threads ahead of the one that asks.
 * Those asked for again, as a long document is by one window after another, are not encoded again.
 */
final class EncodedDocuments implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(EncodedDocuments.class);
    private static final int THREADS = Runtime.getRuntime().availableProcessors();

    private final PackedDataset dataset;
    private final Set<Integer> warned = ConcurrentHashMap.newKeySet();
    private final TreeMap<Integer, Future<int[]>> ahead = new TreeMap<>(); // by position in the epoch
    private final ExecutorService encoders = Executors.newFixedThreadPool(THREADS, task -> {
        var thread = new Thread(task, "nanodo-encoder");
        thread.setDaemon(true);
        return thread;
    });
    private long epoch = -1;
    private int[] order;

    EncodedDocuments(PackedDataset dataset) {
        this.dataset = dataset;
    }

    /** BOS, ids and EOS of the document at that position of an epoch. For one thread. */
    int[] get(long epoch, int position) {
        if (this.epoch != epoch) {
            this.epoch = epoch;
            order = dataset.shuffles() ? Shuffle.permutation(dataset.source().size(), dataset.seed(), -epoch) : null;
            ahead.clear();
        }
        ahead.headMap(position).clear();
        ahead.tailMap(position + THREADS, true).clear();
        for (int next = position;
                next < Math.min(position + THREADS, dataset.source().size());
                next++) {
            int index = order == null ? next : order[next];
            ahead.computeIfAbsent(next, key -> encoders.submit(() -> ids(index)));
        }
        return await(ahead.get(position));
    }

    private static int[] await(Future<int[]> ids) {
        try {
            return ids.get();
        } catch (ExecutionException e) {
            throw e.getCause() instanceof RuntimeException failure ? failure : new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted while waiting for a document", e);
        }
    }

    private int[] ids(int index) {
        Document document;
        try {
            document = dataset.source().read(index);
        } catch (IOException e) {
            throw new UncheckedIOException("Could not read " + dataset.source().name(index) + ": " + e.getMessage(), e);
        }
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
        return ids;
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
