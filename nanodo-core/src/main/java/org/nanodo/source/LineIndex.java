package org.nanodo.source;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Finds the documents of plain JSON-lines files. */
final class LineIndex {
    private static final Logger log = LoggerFactory.getLogger(TextSource.class);

    private LineIndex() {}

    /** Returns null if one of the files is compressed and can therefore only be read in order. */
    static DocumentIndex of(List<Path> files, String field) throws IOException {
        for (Path file : files) {
            if (!JsonLines.isPlain(file)) {
                return null;
            }
        }
        return new DocumentIndex(() -> search(files, field));
    }

    private static DocumentIndex.Found search(List<Path> files, String field) throws IOException {
        var lines = new ArrayList<FileLines>();
        int[] firsts = new int[files.size() + 1];
        for (Path file : files) {
            FileLines found = JsonLines.scan(file);
            long count = (long) firsts[lines.size()] + found.size();
            if (count > Integer.MAX_VALUE) {
                throw new IllegalArgumentException("There are more than " + Integer.MAX_VALUE + " documents up to "
                        + file + ", too many to shuffle as a whole: set a shuffle buffer, which reads files in order");
            }
            lines.add(found);
            firsts[lines.size()] = (int) count;
        }
        log.info("Found {} documents in {} files of JSON lines", firsts[files.size()], files.size());
        return new DocumentIndex.Found(shard -> firsts[shard], number -> {
            int file = Arrays.binarySearch(firsts, number);
            file = file < 0 ? -file - 2 : file;
            while (firsts[file + 1] <= number) { // skip files without documents
                file++;
            }
            return JsonLines.document(lines.get(file), number - firsts[file], field);
        });
    }
}
