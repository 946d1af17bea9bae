package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.nanodo.files.Bytes;

/** Sections of one file, found by one scan, read by position. In UTF-8 a line's end is never part of another character. */
record FileSections(Path file, Offsets starts) implements IndexedTextSource {
    /** A section may be twice as long, where no line ends. */
    private static final int MAX_SECTION = Document.MAX_BYTES / 2;

    static TextSource of(Path file, int bytes) throws IOException {
        if (bytes < 1 || bytes > MAX_SECTION) {
            throw new IllegalArgumentException("Sections of " + bytes + " bytes of " + file
                    + ": it takes at least 1, and at" + " most " + MAX_SECTION);
        }
        TextSources.checkNotEmpty(file);
        try (var scan = ByteScan.of(file)) {
            return new FileSections(file, starts(scan, bytes));
        }
    }

    /** And the end of the last section. Only what is about the ends of sections is looked at. */
    static Offsets starts(ByteScan file, int bytes) throws IOException {
        var starts = new Offsets();
        for (long start = 0; start < file.end(); ) {
            starts.add(start);
            long longest = Math.min(file.end(), start + 2L * bytes);
            // The line's end may be the last of the bytes that a section has to have.
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
        return file + " section " + (index + 1);
    }

    @Override
    public Document read(int index) throws IOException {
        long length = starts.get(index + 1) - starts.get(index);
        if (length > Document.MAX_BYTES) { // where no character ends
            throw Document.tooLong();
        }
        return Document.decode(name(index), Bytes.read(file, starts.get(index), (int) length));
    }
}
