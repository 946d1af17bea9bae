package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import org.nanodo.files.Bytes;

/** The lines of a file that are not blank, found by one scan and read by position. Keeps four bytes of memory per line. */
record FileLines(Path file, Offsets starts, Offsets blanks) {
    static TextSource of(Path file) throws IOException {
        TextSources.checkNotEmpty(file);
        FileLines lines = scan(file, 0);
        if (lines.size() == 0) {
            throw new IllegalArgumentException(file + " has only blank lines");
        }
        return TextSources.ofFile(file, lines.size(), lines::name, lines::read);
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

    int size() {
        return starts.size() - 1;
    }

    String name(int index) {
        return file + " line " + (index + 1 + blanks.countTo(index));
    }

    private Document read(int index) throws IOException {
        byte[] bytes = bytes(index, Document.MAX_BYTES);
        Document.checkLength(bytes.length);
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
