package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The documents of plain JSON-lines files, found by one scan when first asked for. */
final class LineIndex implements DocumentIndex {
    private static final Logger log = LoggerFactory.getLogger(TextSource.class);

    private final List<Path> files;
    private final String field;
    private List<FileLines> lines;
    private int[] firsts;

    private LineIndex(List<Path> files, String field) {
        this.files = files;
        this.field = field;
    }

    /** Null, if one of the files is compressed, and so can only be read in order. */
    static DocumentIndex of(List<Path> files, String field) throws IOException {
        for (Path file : files) {
            if (!JsonLines.isPlain(file)) {
                return null;
            }
        }
        return new LineIndex(files, field);
    }

    @Override
    public synchronized int first(int shard) throws IOException {
        if (firsts == null) {
            scan();
        }
        return firsts[shard];
    }

    private void scan() throws IOException {
        var all = new ArrayList<FileLines>();
        int[] counts = new int[files.size() + 1];
        for (Path file : files) {
            FileLines found = JsonLines.scan(file);
            long count = (long) counts[all.size()] + found.size();
            if (count > Integer.MAX_VALUE) {
                throw new IllegalArgumentException(
                        "There are more than " + Integer.MAX_VALUE + " documents up to " + file
                                + ", too many to be shuffled as a whole: set a shuffle buffer, which reads files in order");
            }
            all.add(found);
            counts[all.size()] = (int) count;
        }
        lines = all;
        firsts = counts;
        log.info("Found {} documents in {} files of JSON lines", firsts[files.size()], files.size());
    }

    @Override
    public synchronized UnreadDocument document(int number) throws IOException {
        first(0);
        int file = Arrays.binarySearch(firsts, number);
        file = file < 0 ? -file - 2 : file;
        while (firsts[file + 1] <= number) { // this file has no document
            file++;
        }
        return JsonLines.document(lines.get(file), number - firsts[file], field);
    }
}
