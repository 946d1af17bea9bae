package org.nanodo.data;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.nanodo.source.DataFile;

/**
 * Everything that a position in the data depends on.
 *
 * @param documentOrder {@link PackedDataset#documentOrder}; also null in checkpoints that are older than the shuffle buffer
 * @param files null in older checkpoints, which do not hold them
 */
public record DataShape(
        String fingerprint,
        int length,
        int batch,
        long epochs,
        boolean shuffles,
        long seed,
        String documentOrder,
        Packing packing,
        List<DataFile> files) {
    /** Reads documents of the corpus, for its fingerprint. */
    public static DataShape of(PackedDataset data) throws IOException {
        return new DataShape(
                data.mixture().fingerprint(),
                data.length(),
                data.batch(),
                data.epochs(),
                data.shuffles(),
                data.seed(),
                data.documentOrder(),
                data.packing(),
                data.mixture().files());
    }

    /** Describes the first file that changed, {@link DataFile#firstChange}; null in a checkpoint without files. */
    public String changedFile(DataShape now, boolean times) {
        return files == null ? null : DataFile.firstChange(files, now.files, times);
    }

    /** Describes all differences but those of files; empty if there are none. */
    public String differences(DataShape now) {
        var all = new ArrayList<String>();
        add(all, "the corpus", fingerprint, now.fingerprint);
        add(all, "tokens per row", length, now.length);
        add(all, "rows per batch", batch, now.batch);
        add(all, "epochs", passes(epochs), passes(now.epochs));
        add(all, "shuffled", shuffles, now.shuffles);
        add(all, "seed", seed, now.seed);
        add(all, "order of documents", order(documentOrder), order(now.documentOrder));
        add(all, "packing", packing, now.packing);
        return String.join("; ", all);
    }

    private static void add(List<String> all, String what, Object then, Object now) {
        if (!Objects.equals(then, now)) {
            all.add(what + " was " + then + ", is " + now);
        }
    }

    /** Describes an order; one without a name is that of an earlier version, which had no other. */
    private static String order(String name) {
        return name == null ? "blocks of 16 MiB, of an earlier version" : name;
    }

    private static Object passes(long epochs) {
        return epochs == PackedDataset.ENDLESS ? "endless" : epochs;
    }
}
