package org.nanodo.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import org.nanodo.data.DocumentOrder.Entry;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.files.Failures;
import org.nanodo.source.UnreadDocument;
import org.nanodo.source.UnreadDocument.Tokens;
import org.nanodo.tokenizer.Tokenizer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One source's documents as ids, in the order of training, read and encoded by several threads ahead of the one that asks.
 * One asked for again, as a long document is by one window after another, is not encoded again.
 */
final class EncodedDocuments implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(EncodedDocuments.class);

    /** Short documents go to a thread by the hundred: handing a task over costs as much as encoding a kilobyte. */
    private static final int CHUNK_TOKENS = 1 << 16;

    private static final int CHUNK_DOCUMENTS = 256;

    /** Of documents found and not yet asked for, as they are in their file: huge ones may follow small ones. */
    private static final long AHEAD_BYTES = 1 << 26;

    /** A document, and the place of the one after it. */
    record Encoded(Tokens tokens, SourcePosition next) {}

    /** A document at its place, and where its ids will be; the end of the data has none. */
    private record Ahead(SourcePosition place, Future<List<Result>> chunk, int index, int bytes) {}

    private record Result(Tokens tokens, RuntimeException failure) {}

    private final DocumentOrder order;
    private final Tokenizer tokenizer;
    private final Executor encoders;
    private final int maxDocuments;
    private final long maxTokens;
    private final Set<String> warned = ConcurrentHashMap.newKeySet();
    private final ArrayDeque<Ahead> ahead = new ArrayDeque<>();
    private Ahead current;
    private boolean ended; // or failed: there is nothing to read any more
    private double meanTokens;
    private long aheadBytes;

    /** @param maxTokens what may wait in memory, as far as the documents before let one guess */
    EncodedDocuments(DocumentOrder order, Tokenizer tokenizer, Executor encoders, int threads, long maxTokens) {
        this.order = order;
        this.tokenizer = tokenizer;
        this.encoders = encoders;
        this.maxDocuments = threads * CHUNK_DOCUMENTS;
        this.maxTokens = maxTokens;
        this.meanTokens = maxTokens; // until the first is known
    }

    /** The document at that place, which is cheap if it is the last one asked for or the one after; null at the data's end. */
    Encoded at(SourcePosition place) {
        while (current != null && !current.place.isSameDocument(place)) {
            take();
        }
        if (current == null) {
            seek(place);
            readAhead();
            take();
        }
        readAhead();
        if (current.chunk == null) {
            return null;
        }
        Result document = BatchIterator.await(current.chunk).get(current.index);
        if (document.failure != null) {
            throw document.failure;
        }
        int length = document.tokens.ids().length;
        meanTokens = meanTokens == maxTokens ? length : 0.9 * meanTokens + 0.1 * length;
        return new Encoded(document.tokens, ahead.element().place.after(place.tokens() + length));
    }

    /** The next of those ahead becomes the current one; null if there is none. */
    private void take() {
        current = ahead.poll();
        aheadBytes -= current == null ? 0 : current.bytes;
    }

    private void seek(SourcePosition place) {
        ended = false;
        try {
            order.seek(place);
        } catch (IOException e) {
            fail(new UncheckedIOException(Failures.reason(e), e));
        }
    }

    /** At least the place of the next document is always known. */
    private void readAhead() {
        while (!ended
                && (ahead.isEmpty()
                        || ahead.size() <= maxDocuments
                                && ahead.size() * meanTokens < maxTokens
                                && aheadBytes < AHEAD_BYTES)) {
            var documents = new ArrayList<UnreadDocument>();
            var chunk =
                    new FutureTask<>(() -> documents.stream().map(this::encoded).toList());
            int count = (int) Math.max(1, Math.min(CHUNK_DOCUMENTS, CHUNK_TOKENS / meanTokens));
            try {
                for (Entry entry = order.next();
                        entry != null;
                        entry = documents.size() < count && aheadBytes < AHEAD_BYTES ? order.next() : null) {
                    int bytes = entry.document().bytes();
                    ahead.add(new Ahead(entry.place(), chunk, documents.size(), bytes));
                    aheadBytes += bytes;
                    documents.add(entry.document());
                }
                if (documents.isEmpty()) {
                    ended = true;
                    ahead.add(new Ahead(order.place(), null, 0, 0));
                }
            } catch (IOException e) {
                fail(new UncheckedIOException(Failures.reason(e), e));
            } catch (RuntimeException e) {
                fail(e);
            }
            encoders.execute(chunk);
        }
    }

    /** For when its turn comes. */
    private void fail(RuntimeException failure) {
        ended = true;
        ahead.add(new Ahead(order.place(), CompletableFuture.failedFuture(failure), 0, 0));
    }

    private Result encoded(UnreadDocument document) {
        try {
            Tokens tokens = document.tokens(tokenizer);
            if (tokens.malformed() > 0 && warned.add(tokens.name())) {
                log.warn("{} is not UTF-8 in {} places, each now reads U+FFFD", tokens.name(), tokens.malformed());
            }
            return new Result(tokens, null);
        } catch (IOException e) {
            return new Result(null, new UncheckedIOException(Failures.reason(e), e));
        } catch (RuntimeException e) {
            return new Result(null, e);
        }
    }

    @Override
    public void close() {
        order.close();
    }
}
