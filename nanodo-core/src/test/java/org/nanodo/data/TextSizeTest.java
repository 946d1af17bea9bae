package org.nanodo.data;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.nanodo.source.TextSource;

class TextSizeTest {
    /** A window is about a million tokens: the first ends in the long document, the second holds the rest. */
    @Test
    void documentsCountWhereTheyBegin() {
        String early = "größer";
        String big = "x".repeat(1_300_000);
        try (var batches = PackedDataset.of(TextSource.of(early, big, "late"))
                .length(1024)
                .batch(64)
                .epochs(1)
                .iterator()) {
            batches.next();
            assertThat(batches.textSize()).isEqualTo(new TextSize(8 + 2 + 1_300_000 + 2, 8 + 1_300_000));
            while (batches.hasNext()) {
                batches.next();
            }
            TextSize all = new TextSize(8 + 1_300_000 + 4 + 3 * 2, 8 + 1_300_000 + 4);
            assertThat(batches.textSize()).isEqualTo(all);
            batches.seek(Position.start(1));
            while (batches.hasNext()) {
                batches.next();
            }
            assertThat(batches.textSize()).isEqualTo(all);
        }
    }
}
