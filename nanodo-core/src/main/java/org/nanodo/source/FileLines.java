package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.nanodo.files.Bytes;

/** The lines of a file that are not blank, found by one scan and read by position. Keeps four bytes a line in memory. */
record FileLines(Path file, Offsets starts, Offsets blanks) implements IndexedTextSource {
    static TextSource of(Path file) throws IOException {
        TextSources.checkNotEmpty(file);
        FileLines lines = scan(file, 0);
        if (lines.size() == 0) {
            throw new IllegalArgumentException(file + " has only blank lines");
        }
        return lines;
    }

    /** @param start where the first line starts */
    static FileLines scan(Path file, long start) throws IOException {
        try (var bytes = ByteScan.of(file)) {
            return scan(file, start, bytes);
        }
    }

    static FileLines scan(Path file, long start, ByteScan bytes) throws IOException {
        var starts = new Offsets(); // and the end of the file
        var blanks = new Offsets(); // for each blank line, the number of lines with text before it
        for (long line = start; line < bytes.end(); ) {
            long text = line;
            int first = bytes.at(text);
            while (first >= 0 && first <= ' ' && first != '\n') {
                first = bytes.at(++text);
            }
            if (first == '\n') {
                blanks.add(starts.size());
            } else if (first >= 0) {
                starts.add(line);
            }
            line = bytes.afterLine(text, bytes.end());
        }
        starts.add(bytes.end());
        return new FileLines(file, starts, blanks);
    }

    @Override
    public List<DataFile> files() throws IOException {
        return DataFile.all(List.of(file));
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

    /** Returns a line without its line feed; of a line longer than {@code max}, at least {@code max + 1} bytes. */
    byte[] bytes(int index, int max) throws IOException {
        long length = starts.get(index + 1) - starts.get(index);
        byte[] bytes = Bytes.read(file, starts.get(index), (int) Math.min(length, max + 2L));
        int end = 0;
        while (end < bytes.length && bytes[end] != '\n') { // blank lines may follow it
            end++;
        }
        return Arrays.copyOf(bytes, end);
    }
}
