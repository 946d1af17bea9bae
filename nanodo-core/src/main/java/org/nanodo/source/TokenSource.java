package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import org.nanodo.files.Failures;
import org.nanodo.tokenizer.Tokenizer;

/**
 * A source of documents that are already tokens, including the separators between documents. They are packed as they are, and
 * may be read from several threads.
 */
public interface TokenSource extends DocumentSource {
    /**
     * Reads a document's tokens, at least one.
     *
     * @param tokenizer the tokenizer that wrote the tokens: its EOS separates documents
     * @throws IllegalArgumentException if a token is not in the tokenizer's vocabulary
     */
    int[] ids(int index, Tokenizer tokenizer) throws IOException;

    @Override
    default DocumentReader open(int index) {
        return DocumentReader.of(tokenizer -> {
            try {
                return new UnreadDocument.Tokens(name(index), ids(index, tokenizer), 0, 0);
            } catch (IOException e) {
                throw new IOException("Could not read " + name(index) + ": " + Failures.reason(e), e);
            }
        });
    }

    @Override
    default DocumentIndex index() {
        return DocumentIndex.ofShards(this);
    }

    /**
     * Reads token files in the format of nanoGPT's {@code prepare.py}: 16 bits per token, little-endian, without a header.
     * Several files form one corpus, in the given order. The dataset must name the tokenizer that wrote them.
     *
     * @throws java.nio.file.NoSuchFileException if a file does not exist
     * @throws IllegalArgumentException if a file is empty, has an odd length or another format
     */
    static TokenFiles nanoGpt(Path... files) throws IOException {
        return TokenFiles.open(TokenFiles::nanoGpt, files);
    }

    /** @param files a path or pattern, as for {@link TextSource#jsonLines(String, String)} */
    static TokenFiles nanoGpt(String files) throws IOException {
        return nanoGpt(FileShards.find(files).toArray(Path[]::new));
    }

    /**
     * Reads token files of llm.c: a header of 256 32-bit numbers (20240520, version 1, the number of tokens, zeros), then 16
     * bits per token, all little-endian. Several files form one corpus, in the given order.
     *
     * @throws java.nio.file.NoSuchFileException if a file does not exist
     * @throws IllegalArgumentException if a file has another header, or another length than its header states
     */
    static TokenFiles llmC(Path... files) throws IOException {
        return TokenFiles.open(TokenFiles::llmC, files);
    }

    /** @param files a path or pattern, as for {@link TextSource#jsonLines(String, String)} */
    static TokenFiles llmC(String files) throws IOException {
        return llmC(FileShards.find(files).toArray(Path[]::new));
    }
}
