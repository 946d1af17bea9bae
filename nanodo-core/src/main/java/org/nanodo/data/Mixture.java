package org.nanodo.data;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.StringJoiner;
import java.util.zip.CRC32C;
import org.nanodo.data.Position.SourcePosition;
import org.nanodo.source.DataFile;
import org.nanodo.source.DocumentSource;

/**
 * Sources with weights. A weight is a share of the tokens, not of the documents: training and the tables of published mixtures
 * count tokens, and a source of long documents would otherwise get more than its share. Weights are relative to one another.
 *
 * <pre>{@code
 * PackedDataset.of(Mixture.of(web, 0.7).and(code, 0.2).and(books, 0.1))
 * }</pre>
 *
 * <p>Nothing is drawn at random: the next document always comes from the source with the fewest tokens relative to its weight
 * (stride scheduling, Waldspurger and Weihl 1995). So no source is ever ahead of its share by more than one document of its
 * own, or behind by more than one of each of the others.
 *
 * <p>Each source has its own epochs: a source that ends starts again, so that a small source with a large weight is repeated
 * more often. To repeat a source n times in a run, set its share to n times its tokens over those of the run. With
 * {@link PackedDataset#epochs}, the data ends when the first source would have to start once more; until then the shares hold.
 */
public record Mixture(List<Part> parts) {
    private static final int MAX_FILES = 10_000;

    public record Part(DocumentSource source, double weight) {
        public Part {
            check(source.size() > 0, "The source has no documents");
            check(weight > 0 && weight < Double.POSITIVE_INFINITY, "weight is " + weight + ", but must be positive");
        }
    }

    public Mixture {
        parts = List.copyOf(parts);
        check(!parts.isEmpty(), "A mixture needs at least one source");
    }

    public static Mixture of(DocumentSource source, double weight) {
        return new Mixture(List.of(new Part(source, weight)));
    }

    public Mixture and(DocumentSource source, double weight) {
        var more = new ArrayList<>(parts);
        more.add(new Part(source, weight));
        return new Mixture(more);
    }

    /** Returns the index of the source of the next document. */
    int next(List<SourcePosition> positions) {
        int next = 0;
        for (int i = 1; i < parts.size(); i++) {
            if (positions.get(i).tokens() / parts.get(i).weight
                    < positions.get(next).tokens() / parts.get(next).weight) {
                next = i;
            }
        }
        return next;
    }

    /** Returns a text that distinguishes this mixture from others: sizes, digests and, for several sources, weights. */
    public String fingerprint() throws IOException {
        var all = new StringJoiner(" + ");
        for (Part part : parts) {
            String source = part.source.size() + ":" + part.source.fingerprint();
            all.add(parts.size() == 1 ? source : part.weight + " " + source);
        }
        return all.toString();
    }

    /**
     * Returns the files of all sources, as a checkpoint records them. More than 10,000 files are represented by one, with their
     * total size and, instead of a time, a digest.
     */
    public List<DataFile> files() throws IOException {
        var files = new ArrayList<DataFile>();
        for (Part part : parts) {
            files.addAll(part.source.files());
        }
        if (files.size() <= MAX_FILES) {
            return files;
        }
        var digest = new CRC32C();
        files.forEach(file -> digest.update(file.toString().getBytes(StandardCharsets.UTF_8)));
        long bytes = files.stream().mapToLong(DataFile::bytes).sum();
        return List.of(new DataFile(
                "one of " + files.size() + " files (whose time is a digest of theirs)", bytes, digest.getValue()));
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
