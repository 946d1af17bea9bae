package org.nanodo.data;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.LongStream;

/** Sections of one file, found by one scan, read by position. In UTF-8 a line's end is never part of another character. */
final class FileSections implements IndexedTextSource {
    /** A section may be twice as long, where no line ends. */
    private static final int MAX_SECTION = Document.MAX_BYTES / 2;

    private final Path file;
    private final boolean lines;
    private final long[] starts; // and the end of the last section

    private FileSections(Path file, boolean lines, long[] starts) {
        this.file = file;
        this.lines = lines;
        this.starts = starts;
    }

    static TextSource lines(Path file) throws IOException {
        TextSources.checkNotEmpty(file);
        var starts = LongStream.builder();
        long position = 0;
        long start = 0;
        boolean blank = true;
        try (InputStream in = new BufferedInputStream(Files.newInputStream(file), 1 << 16)) {
            for (int b = in.read(); b >= 0; b = in.read()) {
                position++;
                if (b > ' ' && blank) {
                    // Blank lines before this one are nobody's, those behind it are cut off when it is read.
                    starts.add(start);
                    blank = false;
                }
                if (b == '\n') {
                    start = position;
                    blank = true;
                }
            }
        }
        return of(file, true, starts.add(position).build().toArray());
    }

    static TextSource of(Path file, int bytes) throws IOException {
        if (bytes < 1 || bytes > MAX_SECTION) {
            throw new IllegalArgumentException("Sections of " + bytes + " bytes of " + file
                    + ": it takes at least 1, and at" + " most " + MAX_SECTION);
        }
        TextSources.checkNotEmpty(file);
        var starts = LongStream.builder().add(0);
        long position = 0;
        long start = 0;
        int before = 0;
        try (InputStream in = new BufferedInputStream(Files.newInputStream(file), 1 << 16)) {
            for (int b = in.read(); b >= 0; b = in.read(), position++) {
                long length = position - start;
                boolean newCharacter = (b & 0xC0) != 0x80;
                if (length >= bytes && before == '\n' || length >= 2L * bytes && newCharacter) {
                    starts.add(position);
                    start = position;
                }
                before = b;
            }
        }
        return of(file, false, starts.add(position).build().toArray());
    }

    private static TextSource of(Path file, boolean lines, long[] starts) {
        if (starts.length < 2) {
            throw new IllegalArgumentException(file + " has only blank lines");
        }
        return new FileSections(file, lines, starts);
    }

    @Override
    public List<DataFile> files() throws IOException {
        return List.of(DataFile.of(file));
    }

    @Override
    public int size() {
        return starts.length - 1;
    }

    @Override
    public String name(int index) {
        return file + (lines ? " line " : " section ") + (index + 1);
    }

    @Override
    public Document read(int index) throws IOException {
        long length = starts[index + 1] - starts[index];
        if (length > Document.MAX_BYTES) {
            throw Document.tooLong();
        }
        var bytes = ByteBuffer.allocate((int) length);
        try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (bytes.hasRemaining()) {
                if (channel.read(bytes, starts[index] + bytes.position()) < 0) {
                    throw new EOFException(file + " has become shorter since it was opened");
                }
            }
        }
        Document document = Document.decode(name(index), bytes.array());
        return lines
                ? new Document(
                        document.name(), document.text().lines().findFirst().orElse(""), document.malformed())
                : document;
    }
}
