package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The documents of plain JSON-lines files, which are searched once, when the index is first used. */
final class LineIndex {
    private static final Logger log = LoggerFactory.getLogger(TextSource.class);

    private final List<Path> files;
    private final String field;
    private List<FileLines> lines; // null until the files are searched
    private int[] firsts;

    private LineIndex(List<Path> files, String field) {
        this.files = files;
        this.field = field;
    }

    /** Returns null if one of the files is compressed and can therefore only be read in order. */
    static DocumentIndex of(List<Path> files, String field) throws IOException {
        for (Path file : files) {
            if (!JsonLines.isPlain(file)) {
                return null;
            }
        }
        var index = new LineIndex(files, field);
        return new DocumentIndex(index::first, index::document, false);
    }

    private synchronized int first(int shard) throws IOException {
        if (lines == null) {
            scan();
        }
        return firsts[shard];
    }

    private void scan() throws IOException {
        var all = new ArrayList<FileLines>();
        firsts = new int[files.size() + 1];
        for (Path file : files) {
            FileLines found = JsonLines.scan(file);
            long count = (long) firsts[all.size()] + found.size();
            if (count > Integer.MAX_VALUE) {
                throw new IllegalArgumentException("There are more than " + Integer.MAX_VALUE + " documents up to "
                        + file + ", too many to shuffle as a whole: set a shuffle buffer, which reads files in order");
            }
            all.add(found);
            firsts[all.size()] = (int) count;
        }
        lines = all;
        log.info("Found {} documents in {} files of JSON lines", firsts[files.size()], files.size());
    }

    private synchronized UnreadDocument document(int number) throws IOException {
        first(0);
        int file = Arrays.binarySearch(firsts, number);
        file = file < 0 ? -file - 2 : file;
        while (firsts[file + 1] <= number) { // skip files without documents
            file++;
        }
        return JsonLines.document(lines.get(file), number - firsts[file], field);
    }
}
