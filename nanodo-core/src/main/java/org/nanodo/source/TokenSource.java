package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import org.nanodo.files.Failures;
import org.nanodo.tokenizer.Tokenizer;

/**
 * Documents that are tokens already: they are packed as they are, and no tokenizer runs. What separates documents is among
 * the tokens. Read when asked for, by several threads.
 */
public interface TokenSource extends DocumentSource {
    /**
     * A document's tokens, at least one.
     *
     * @param tokenizer what the tokens are of: its EOS separates, its vocabulary bounds them
     * @throws IllegalArgumentException if a token is not in the vocabulary
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
     * Token files as nanoGPT's {@code prepare.py} writes them: 16 bits a token, little-endian, nothing else. Several are
     * one corpus, in this order. Name the tokenizer that wrote them: its EOS is where documents begin and end.
     *
     * @throws java.nio.file.NoSuchFileException if one does not exist
     * @throws IllegalArgumentException if one is empty, has half a token or another format
     */
    static TokenFiles nanoGpt(Path... files) throws IOException {
        return TokenFiles.open(TokenFiles.Format.NANO_GPT, files);
    }

    /** @param files a path or pattern, as for {@link TextSource#jsonLines(String, String)} */
    static TokenFiles nanoGpt(String files) throws IOException {
        return nanoGpt(FileShards.find(files).toArray(Path[]::new));
    }

    /**
     * Token files of llm.c: 256 numbers of 32 bits (20240520, version 1, how many tokens, zeros), then 16 bits a token, all
     * little-endian. Several, as its corpora come, are one corpus.
     *
     * @throws java.nio.file.NoSuchFileException if one does not exist
     * @throws IllegalArgumentException if one has another header, or another number of tokens than that says
     */
    static TokenFiles llmC(Path... files) throws IOException {
        return TokenFiles.open(TokenFiles.Format.LLM_C, files);
    }

    /** @param files a path or pattern, as for {@link TextSource#jsonLines(String, String)} */
    static TokenFiles llmC(String files) throws IOException {
        return llmC(FileShards.find(files).toArray(Path[]::new));
    }
}
