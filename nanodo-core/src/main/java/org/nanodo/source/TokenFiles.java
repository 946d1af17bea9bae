package org.nanodo.source;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32C;
import org.nanodo.files.Bytes;
import org.nanodo.tokenizer.Tokenizer;

/**
 * Files of 16-bit tokens, in sections that stand in for documents. A section begins at the first EOS after every so many
 * tokens, or there, if a whole section has no EOS. So finding it takes no scan of the file, and together the sections are
 * all of its tokens in their order.
 */
public final class TokenFiles implements TokenSource {
    /** 64 of them are in the reach of the row shuffle, and a dozen of the usual web documents in each. */
    private static final int SECTION = 1 << 14;

    private static final int MAX_SECTION = 1 << 28;

    /** Tokens that a fingerprint reads at a time. */
    private static final int STRETCH = 1 << 10;

    private static final int MAGIC = 20_240_520;
    private static final int VERSION = 1;
    private static final int HEADER_BYTES = 256 * Integer.BYTES;

    enum Format {
        NANO_GPT,
        LLM_C
    }

    /** @param start where its tokens begin, in bytes */
    private record TokenFile(Path file, long start, long tokens) {
        int sections(int section) {
            return Math.toIntExact((tokens + section - 1) / section);
        }

        ByteBuffer read(long token, int count) throws IOException {
            return bytes(file, start + token * Character.BYTES, count * Character.BYTES);
        }
    }

    private record Section(TokenFile shard, int section) {}

    private final List<TokenFile> shards;
    private final int section;
    private final int size;

    private TokenFiles(List<TokenFile> shards, int section) {
        if (section < 2 || section > MAX_SECTION) {
            throw new IllegalArgumentException(
                    "Sections of " + section + " tokens: it takes at least 2, and at most " + MAX_SECTION);
        }
        this.shards = List.copyOf(shards);
        this.section = section;
        size = shards.stream().mapToInt(shard -> shard.sections(section)).reduce(0, Math::addExact);
    }

    static TokenFiles open(Format format, Path... files) throws IOException {
        if (files.length == 0) {
            throw new IllegalArgumentException("No file to take tokens from");
        }
        var shards = new ArrayList<TokenFile>();
        for (Path file : files) {
            if (!Files.isRegularFile(file)) {
                throw new NoSuchFileException(file + (Files.exists(file) ? " is not a file" : " does not exist"));
            }
            shards.add(format == Format.LLM_C ? llmC(file) : nanoGpt(file));
        }
        return new TokenFiles(shards, SECTION);
    }

    /**
     * In sections of about so many tokens, 16,384 if not said. They are what {@code shuffle} puts in random order, and rows
     * do not know of text beyond them: use several times the length of a row, less if neighbouring documents are alike.
     */
    public TokenFiles sections(int tokens) {
        return new TokenFiles(shards, tokens);
    }

    /** How many tokens there are. */
    public long tokens() {
        return shards.stream().mapToLong(TokenFile::tokens).sum();
    }

    @Override
    public List<DataFile> files() throws IOException {
        var files = new ArrayList<DataFile>();
        for (TokenFile shard : shards) {
            files.add(DataFile.of(shard.file));
        }
        return files;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public String name(int index) {
        Section place = place(index);
        return place.shard.file + " section " + (place.section + 1);
    }

    @Override
    public int[] ids(int index, Tokenizer tokenizer) throws IOException {
        Section place = place(index);
        return ids(place.shard, place.section, tokenizer);
    }

    private Section place(int index) {
        int section = index;
        for (TokenFile shard : shards) {
            if (section < shard.sections(this.section)) {
                return new Section(shard, section);
            }
            section -= shard.sections(this.section);
        }
        throw new IndexOutOfBoundsException(index);
    }

    private int[] ids(TokenFile shard, int index, Tokenizer tokenizer) throws IOException {
        long from = (long) index * section;
        // This section's share of the file, and the next one's, at whose beginning this one may still go on.
        CharBuffer tokens = shard.read(from, (int) Math.min(2L * section, shard.tokens - from))
                .asCharBuffer();
        int next = Math.min(section, tokens.length());
        int start = index == 0 ? 0 : first(tokens, 0, next, tokenizer.eosId());
        int end = first(tokens, next, tokens.length(), tokenizer.eosId());
        int[] ids = new int[end - start];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = tokens.get(start + i);
            if (ids[i] >= tokenizer.vocabSize()) {
                throw new IllegalArgumentException("Token " + (from + start + i) + " of " + shard.file + " is " + ids[i]
                        + ", the tokenizer's ids end at " + (tokenizer.vocabSize() - 1)
                        + ": use the one that wrote the file");
            }
        }
        return ids;
    }

    /** Where in a range that token is first. The range's beginning, if nowhere. */
    private static int first(CharBuffer tokens, int from, int to, int token) {
        for (int i = from; i < to; i++) {
            if (tokens.get(i) == token) {
                return i;
            }
        }
        return from;
    }

    /** Of every file the length and up to eight stretches of a thousand tokens, evenly spaced. */
    @Override
    public String fingerprint() throws IOException {
        var digest = new CRC32C();
        for (TokenFile shard : shards) {
            digest.update(ByteBuffer.allocate(2 * Long.BYTES)
                    .putLong(shard.tokens)
                    .putLong(section)
                    .flip());
            long stretches = Math.min(8, (shard.tokens + STRETCH - 1) / STRETCH);
            for (long i = 0; i < stretches; i++) {
                long from = shard.tokens / stretches * i;
                digest.update(shard.read(from, (int) Math.min(STRETCH, shard.tokens - from)));
            }
        }
        return Long.toHexString(digest.getValue());
    }

    private static TokenFile nanoGpt(Path file) throws IOException {
        long bytes = Files.size(file);
        if (bytes == 0 || bytes % Character.BYTES != 0) {
            throw new IllegalArgumentException(
                    file + " is " + bytes + " bytes, which is not a whole number of 16-bit tokens, at least one");
        }
        if (bytes >= HEADER_BYTES && header(file).getInt(0) == MAGIC) {
            throw new IllegalArgumentException(file + " has llm.c's header: use TokenSource.llmC");
        }
        return new TokenFile(file, 0, bytes / Character.BYTES);
    }

    private static TokenFile llmC(Path file) throws IOException {
        long bytes = Files.size(file);
        if (bytes < HEADER_BYTES) {
            throw new IllegalArgumentException(
                    file + " is " + bytes + " bytes: llm.c's header alone is " + HEADER_BYTES);
        }
        ByteBuffer header = header(file);
        int magic = header.getInt(0);
        int version = header.getInt(Integer.BYTES);
        long tokens = header.getInt(2 * Integer.BYTES);
        if (magic != MAGIC || version != VERSION) {
            throw new IllegalArgumentException(file + " begins with " + magic + ", version " + version
                    + ", files of llm.c's 16-bit tokens with " + MAGIC + ", version " + VERSION);
        }
        if (tokens < 1 || HEADER_BYTES + tokens * Character.BYTES != bytes) {
            throw new IllegalArgumentException(file + " is " + bytes + " bytes, by its header it holds " + tokens
                    + " tokens, which take " + (HEADER_BYTES + tokens * Character.BYTES) + ": it is not whole");
        }
        return new TokenFile(file, HEADER_BYTES, tokens);
    }

    private static ByteBuffer header(Path file) throws IOException {
        return bytes(file, 0, HEADER_BYTES);
    }

    private static ByteBuffer bytes(Path file, long from, int length) throws IOException {
        return ByteBuffer.wrap(Bytes.read(file, from, length)).order(ByteOrder.LITTLE_ENDIAN);
    }
}
