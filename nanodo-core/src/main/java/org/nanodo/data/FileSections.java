package org.nanodo.data;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;

/** Sections of one file, found by a scan for line ends, read by position. A line end is never part of another character. */
final class FileSections implements TextSource {
    private final Path file;
    private final boolean lines;
    private final long[] starts; // and the end of the last section
    private final int size;

    private FileSections(Path file, boolean lines, long[] starts, int size) {
        this.file = file;
        this.lines = lines;
        this.starts = starts;
        this.size = size;
    }

    static TextSource lines(Path file) throws IOException {
        return scan(file, 1, true);
    }

    static TextSource of(Path file, int bytes) throws IOException {
        if (bytes < 1) {
            throw new IllegalArgumentException("Sections of " + bytes + " bytes: it takes at least one");
        }
        return scan(file, bytes, false);
    }

    private static FileSections scan(Path file, int bytes, boolean lines) throws IOException {
        TextSources.checkNotEmpty(file);
        long[] starts = new long[1024];
        int size = 0;
        long position = 0;
        try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
            var buffer = ByteBuffer.allocate(1 << 16);
            while (channel.read(buffer.clear()) > 0) {
                buffer.flip();
                while (buffer.hasRemaining()) {
                    position++;
                    if (buffer.get() == '\n') {
                        if (lines && position == starts[size] + 1) {
                            starts[size] = position; // an empty line
                        } else if (position - starts[size] >= bytes) {
                            size++;
                            starts = size == starts.length ? Arrays.copyOf(starts, 2 * size) : starts;
                            starts[size] = position;
                        }
                    }
                }
            }
        }
        if (position > starts[size]) {
            starts = Arrays.copyOf(starts, size + 2);
            starts[++size] = position;
        }
        if (size == 0) {
            throw new IllegalArgumentException(file + " has only empty lines");
        }
        return new FileSections(file, lines, starts, size);
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public String name(int index) {
        return file + (lines ? " line " : " section ") + (index + 1);
    }

    @Override
    public Document read(int index) throws IOException {
        var bytes = ByteBuffer.allocate(Math.toIntExact(starts[index + 1] - starts[index]));
        try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (bytes.hasRemaining()) {
                if (channel.read(bytes, starts[index] + bytes.position()) < 0) {
                    throw new EOFException(file + " has become shorter since it was opened");
                }
            }
        }
        Document document = Document.decode(name(index), bytes.array());
        return lines ? new Document(document.name(), document.text().strip(), document.malformed()) : document;
    }
}
