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
 * Files of 16-bit tokens, in sections that serve as documents. The nominal sections have equal lengths; each begins at the
 * first EOS within its nominal section or, if it has none, at the nominal start. So sections are found without a scan of the
 * file, and together they are all of its tokens in order.
 */
public final class TokenFiles implements TokenSource {
    /** The default length: the row shuffle spans 64 sections, and each has about a dozen typical web documents. */
    private static final int SECTION = 1 << 14;

    private static final int MAX_SECTION = 1 << 28;

    /** The number of tokens that a fingerprint reads at a time. */
    private static final int STRETCH = 1 << 10;

    private static final int MAGIC = 20_240_520;
    private static final int VERSION = 1;
    private static final int HEADER_BYTES = 256 * Integer.BYTES;

    @FunctionalInterface
    interface Format {
        TokenFile open(Path file) throws IOException;
    }

    /** @param start where the tokens begin, in bytes */
    record TokenFile(Path file, long start, long tokens) {
        int sections(int section) {
            return Math.toIntExact((tokens + section - 1) / section);
        }

        ByteBuffer read(long token, int count) throws IOException {
            return bytes(file, start + token * Character.BYTES, count * Character.BYTES);
        }
    }

    private record Section(TokenFile shard, int number) {}

    private final List<TokenFile> shards;
    private final int section;
    private final int size;

    private TokenFiles(List<TokenFile> shards, int section) {
        if (section < 2 || section > MAX_SECTION) {
            throw new IllegalArgumentException(
                    "Sections of " + section + " tokens: a section must have between 2 and " + MAX_SECTION);
        }
        this.shards = List.copyOf(shards);
        this.section = section;
        size = shards.stream().mapToInt(shard -> shard.sections(section)).reduce(0, Math::addExact);
    }

    static TokenFiles open(Format format, Path... files) throws IOException {
        if (files.length == 0) {
            throw new IllegalArgumentException("No files of tokens: at least one is needed");
        }
        var shards = new ArrayList<TokenFile>();
        for (Path file : files) {
            if (!Files.isRegularFile(file)) {
                throw new NoSuchFileException(file + (Files.exists(file) ? " is not a file" : " does not exist"));
            }
            shards.add(format.open(file));
        }
        return new TokenFiles(shards, SECTION);
    }

    /**
     * Returns the same files in sections of about this many tokens; the default is 16,384. Shuffling orders sections and keeps
     * the order within them: use several times the length of a row, or less if neighbouring documents are alike.
     */
    public TokenFiles sections(int tokens) {
        return new TokenFiles(shards, tokens);
    }

    /** Returns the total number of tokens. */
    public long tokens() {
        return shards.stream().mapToLong(TokenFile::tokens).sum();
    }

    @Override
    public List<DataFile> files() throws IOException {
        return DataFile.all(shards.stream().map(TokenFile::file).toList());
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public String name(int index) {
        Section at = section(index);
        return at.shard.file + " section " + (at.number + 1);
    }

    @Override
    public int[] ids(int index, Tokenizer tokenizer) throws IOException {
        Section at = section(index);
        TokenFile shard = at.shard;
        long from = (long) at.number * section;
        // Read the next nominal section too, because this one ends at the first EOS in it.
        CharBuffer tokens = shard.read(from, (int) Math.min(2L * section, shard.tokens - from))
                .asCharBuffer();
        int next = Math.min(section, tokens.length());
        int start = at.number == 0 ? 0 : first(tokens, 0, next, tokenizer.eosId());
        int end = first(tokens, next, tokens.length(), tokenizer.eosId());
        int[] ids = new int[end - start];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = tokens.get(start + i);
            if (ids[i] >= tokenizer.vocabSize()) {
                throw new IllegalArgumentException("Token " + (from + start + i) + " of " + shard.file + " is " + ids[i]
                        + ", but the tokenizer's largest id is " + (tokenizer.vocabSize() - 1)
                        + ": use the tokenizer that wrote the file");
            }
        }
        return ids;
    }

    private Section section(int index) {
        int number = index;
        for (TokenFile shard : shards) {
            if (number < shard.sections(section)) {
                return new Section(shard, number);
            }
            number -= shard.sections(section);
        }
        throw new IndexOutOfBoundsException(index);
    }

    /** Returns the index of the first such token in the range, or {@code from} if there is none. */
    private static int first(CharBuffer tokens, int from, int to, int token) {
        for (int i = from; i < to; i++) {
            if (tokens.get(i) == token) {
                return i;
            }
        }
        return from;
    }

    /** Digests the length of every file and up to eight stretches of a thousand tokens, evenly spaced. */
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

    static TokenFile nanoGpt(Path file) throws IOException {
        long bytes = Files.size(file);
        if (bytes == 0 || bytes % Character.BYTES != 0) {
            throw new IllegalArgumentException(
                    file + " is " + bytes + " bytes, which is not a whole number of 16-bit tokens greater than zero");
        }
        if (bytes >= HEADER_BYTES && bytes(file, 0, Integer.BYTES).getInt() == MAGIC) {
            throw new IllegalArgumentException(file + " has the header of llm.c: use TokenSource.llmC");
        }
        return new TokenFile(file, 0, bytes / Character.BYTES);
    }

    static TokenFile llmC(Path file) throws IOException {
        long bytes = Files.size(file);
        if (bytes < HEADER_BYTES) {
            throw new IllegalArgumentException(
                    file + " is " + bytes + " bytes, but the header of llm.c alone is " + HEADER_BYTES);
        }
        ByteBuffer header = bytes(file, 0, HEADER_BYTES);
        int magic = header.getInt();
        int version = header.getInt();
        long tokens = header.getInt();
        if (magic != MAGIC || version != VERSION) {
            throw new IllegalArgumentException(file + " begins with " + magic + ", version " + version
                    + ", but llm.c's files of 16-bit tokens begin with " + MAGIC + ", version " + VERSION);
        }
        if (tokens < 1 || HEADER_BYTES + tokens * Character.BYTES != bytes) {
            throw new IllegalArgumentException(
                    file + " is " + bytes + " bytes, but by its header it holds " + tokens + " tokens, which take "
                            + (HEADER_BYTES + tokens * Character.BYTES) + ": it is truncated or damaged");
        }
        return new TokenFile(file, HEADER_BYTES, tokens);
    }

    private static ByteBuffer bytes(Path file, long from, int length) throws IOException {
        return ByteBuffer.wrap(Bytes.read(file, from, length)).order(ByteOrder.LITTLE_ENDIAN);
    }
}
