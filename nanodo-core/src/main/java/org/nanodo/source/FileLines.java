package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.nanodo.files.Bytes;

/** The lines of one file that are not blank, found by one scan, read by position. Keeps four bytes a line in memory. */
final class FileLines implements IndexedTextSource {
    private final Path file;
    private final Offsets starts = new Offsets(); // and the end of the file
    private final Offsets blanks = new Offsets(); // how many lines with text precede each blank one

    private FileLines(Path file) {
        this.file = file;
    }

    static TextSource of(Path file) throws IOException {
        TextSources.checkNotEmpty(file);
        FileLines lines = scan(file, 0);
        if (lines.size() == 0) {
            throw new IllegalArgumentException(file + " has only blank lines");
        }
        return lines;
    }

    /** @param start where the first line begins */
    static FileLines scan(Path file, long start) throws IOException {
        try (var bytes = ByteScan.of(file)) {
            return scan(file, start, bytes);
        }
    }

    static FileLines scan(Path file, long start, ByteScan bytes) throws IOException {
        var lines = new FileLines(file);
        for (long line = start; line < bytes.end(); ) {
            long text = line;
            int first = bytes.at(text);
            while (first >= 0 && first <= ' ' && first != '\n') {
                first = bytes.at(++text);
            }
            if (first == '\n') {
                lines.blanks.add(lines.starts.size());
            } else if (first >= 0) {
                lines.starts.add(line);
            }
            line = bytes.afterLine(text, bytes.end());
        }
        lines.starts.add(bytes.end());
        return lines;
    }

    Offsets starts() {
        return starts;
    }

    @Override
    public List<DataFile> files() throws IOException {
        return List.of(DataFile.of(file));
    }

    @Override
    public int size() {
        return starts.size() - 1;
    }

    @Override
    public String name(int index) {
        return file + " line " + (index + 1 + blanks.countTo(index));
    }

    @Override
    public Document read(int index) throws IOException {
        byte[] bytes = bytes(index, Document.MAX_BYTES);
        if (bytes.length > Document.MAX_BYTES) {
            throw Document.tooLong();
        }
        boolean crLf = bytes.length > 0 && bytes[bytes.length - 1] == '\r';
        return Document.decode(name(index), crLf ? Arrays.copyOf(bytes, bytes.length - 1) : bytes);
    }

    /** A line without its end; of a longer one than {@code max} its beginning, which is longer than that, too. */
    byte[] bytes(int index, int max) throws IOException {
        long length = starts.get(index + 1) - starts.get(index);
        byte[] bytes = Bytes.read(file, starts.get(index), (int) Math.min(length, max + 2L));
        int end = 0;
        while (end < bytes.length && bytes[end] != '\n') { // which blank lines may follow
            end++;
        }
        return Arrays.copyOf(bytes, end);
    }
}
