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
 * One source's documents as tokens, in training order, read and encoded ahead of the consumer by several threads. A document
 * that is requested again, as one that spans several windows is, is not encoded again.
 */
final class EncodedDocuments implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(EncodedDocuments.class);

    /** Short documents are handed to a thread by the hundred: a hand-over costs as much as encoding a kilobyte. */
    private static final int CHUNK_TOKENS = 1 << 16;

    private static final int CHUNK_DOCUMENTS = 256;

    /** The limit for the raw bytes of documents that were found but not yet requested: huge ones may follow small ones. */
    private static final long AHEAD_BYTES = 1 << 26;

    /** A document, and the position of the one after it. */
    record Encoded(Tokens tokens, SourcePosition next) {}

    /** A document whose tokens will be at an index of a chunk. The end of the data is an entry without a chunk. */
    private record Ahead(SourcePosition position, Future<List<Result>> chunk, int index, int bytes) {}

    private record Result(Tokens tokens, RuntimeException failure) {}

    private final DocumentOrder order;
    private final Tokenizer tokenizer;
    private final Executor encoders;
    private final int maxDocuments;
    private final long maxTokens;
    private final Set<String> warned = ConcurrentHashMap.newKeySet();
    private final ArrayDeque<Ahead> ahead = new ArrayDeque<>();
    private Ahead current;
    private boolean ended; // by the end of the data or by a failure
    private double meanTokens;
    private long aheadBytes;

    /** @param maxTokens the limit for tokens that wait in memory, as estimated from the documents before */
    EncodedDocuments(DocumentOrder order, Tokenizer tokenizer, Executor encoders, int threads, long maxTokens) {
        this.order = order;
        this.tokenizer = tokenizer;
        this.encoders = encoders;
        this.maxDocuments = threads * CHUNK_DOCUMENTS;
        this.maxTokens = maxTokens;
        this.meanTokens = maxTokens; // until the first document is known
    }

    /** Returns the document at a position, or null at the end of the data. Cheap for the last document and the next one. */
    Encoded at(SourcePosition position) {
        while (current != null && !current.position.isSameDocument(position)) {
            take();
        }
        if (current == null) {
            seek(position);
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
        return new Encoded(document.tokens, ahead.element().position.after(position.tokens() + length));
    }

    /** Makes the first document ahead the current one; null if there is none. */
    private void take() {
        current = ahead.poll();
        aheadBytes -= current == null ? 0 : current.bytes;
    }

    private void seek(SourcePosition position) {
        ended = false;
        try {
            order.seek(position);
        } catch (IOException e) {
            fail(unchecked(e));
        }
    }

    /** Reads documents ahead, at least one, so that the position of the next document is always known. */
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
                    ahead.add(new Ahead(entry.position(), chunk, documents.size(), bytes));
                    aheadBytes += bytes;
                    documents.add(entry.document());
                }
                if (documents.isEmpty()) {
                    ended = true;
                    ahead.add(new Ahead(order.position(), null, 0, 0));
                }
            } catch (IOException e) {
                fail(unchecked(e));
            } catch (RuntimeException e) {
                fail(e);
            }
            encoders.execute(chunk);
        }
    }

    /** Enqueues a failure, which is thrown when its turn comes. */
    private void fail(RuntimeException failure) {
        ended = true;
        ahead.add(new Ahead(order.position(), CompletableFuture.failedFuture(failure), 0, 0));
    }

    private Result encoded(UnreadDocument document) {
        try {
            Tokens tokens = document.tokens(tokenizer);
            if (tokens.malformed() > 0 && warned.add(tokens.name())) {
                log.warn(
                        "{} is not UTF-8 in {} places, which were replaced by U+FFFD",
                        tokens.name(),
                        tokens.malformed());
            }
            return new Result(tokens, null);
        } catch (IOException e) {
            return new Result(null, unchecked(e));
        } catch (RuntimeException e) {
            return new Result(null, e);
        }
    }

    private static UncheckedIOException unchecked(IOException e) {
        return new UncheckedIOException(Failures.reason(e), e);
    }

    @Override
    public void close() {
        order.close();
    }
}
