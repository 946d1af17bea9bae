package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import org.nanodo.files.Bytes;

/** Divides a file into sections by one scan. In UTF-8 a line feed is never part of another character. */
final class FileSections {
    /** A section may be twice as long if it has no line end. */
    private static final int MAX_SECTION = Document.MAX_BYTES / 2;

    private FileSections() {}

    static TextSource of(Path file, int bytes) throws IOException {
        if (bytes < 1 || bytes > MAX_SECTION) {
            throw new IllegalArgumentException("Sections of " + bytes + " bytes of " + file
                    + ": a section must have between 1 and " + MAX_SECTION + " bytes");
        }
        TextSources.checkNotEmpty(file);
        try (var scan = ByteScan.of(file)) {
            Offsets starts = starts(scan, bytes);
            return TextSources.ofFile(
                    file, starts.size() - 1, index -> name(file, index), index -> read(file, starts, index));
        }
    }

    private static String name(Path file, int index) {
        return file + " section " + (index + 1);
    }

    private static Document read(Path file, Offsets starts, int index) throws IOException {
        long length = starts.get(index + 1) - starts.get(index);
        Document.checkLength(length); // exceeded if no character ends
        return Document.decode(name(file, index), Bytes.read(file, starts.get(index), (int) length));
    }

    /** Returns where sections start, and where the last one ends. Reads only the surroundings of these positions. */
    static Offsets starts(ByteScan file, int bytes) throws IOException {
        var starts = new Offsets();
        for (long start = 0; start < file.end(); ) {
            starts.add(start);
            long longest = Math.min(file.end(), start + 2L * bytes);
            // The line feed may be the last of the bytes that a section must have.
            long next = file.afterLine(Math.min(longest, start + bytes - 1), longest);
            while (isWithinCharacter(file, next)) {
                next++;
            }
            start = next;
        }
        starts.add(file.end());
        return starts;
    }

    private static boolean isWithinCharacter(ByteScan file, long position) throws IOException {
        return position < file.end() && file.at(position - 1) != '\n' && (file.at(position) & 0xC0) == 0x80;
    }
}
