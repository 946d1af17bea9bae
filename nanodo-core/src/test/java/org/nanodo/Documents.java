package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.zip.GZIPOutputStream;
import org.nanodo.data.PackedDataset;
import org.nanodo.data.Position;
import org.nanodo.source.TextSource;
import org.nanodo.source.UnreadDocument;
import org.nanodo.tokenizer.Tokenizer;

/** Writes and reads documents for tests. */
public final class Documents {
    private Documents() {}

    /** All texts of a source, shard after shard. */
    public static List<String> texts(TextSource source) {
        var texts = new ArrayList<String>();
        for (int shard = 0; shard < source.size(); shard++) {
            try (var documents = source.open(shard)) {
                for (var document = documents.next(); document != null; document = documents.next()) {
                    texts.add(text(document));
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e.getMessage(), e);
            }
        }
        return texts;
    }

    public static String text(UnreadDocument document) throws IOException {
        return Tokenizer.bytes().decode(document.tokens(Tokenizer.bytes()).ids());
    }

    public static Path gzip(Path file, byte[] content) throws IOException {
        try (var out = new GZIPOutputStream(Files.newOutputStream(file))) {
            out.write(content);
        }
        return file;
    }

    /** The byte tokens of a packed document: BOS, text, EOS. */
    public static int[] ids(String text) {
        return IntStream.concat(IntStream.concat(IntStream.of(1), text.chars().map(c -> c + 3)), IntStream.of(2))
                .toArray();
    }

    /** Any position that was passed can be returned to, and what follows it is the same. */
    public static void checkSeek(PackedDataset data, int count) {
        var positions = new ArrayList<Position>();
        var expected = new ArrayList<int[]>();
        try (var batches = data.iterator()) {
            for (int i = 0; i < count && batches.hasNext(); i++) {
                positions.add(batches.position());
                expected.add(batches.next().inputs_BxL());
            }
            positions.add(batches.position());
        }
        assertThat(expected).isNotEmpty();
        try (var batches = data.iterator()) {
            for (int i = expected.size() - 1; i >= 0; i--) {
                batches.seek(positions.get(i));
                assertThat(batches.position()).isEqualTo(positions.get(i));
                for (int j = i; j < expected.size(); j++) {
                    assertThat(batches.next().inputs_BxL()).isEqualTo(expected.get(j));
                    assertThat(batches.position()).isEqualTo(positions.get(j + 1));
                }
            }
        }
    }
}
