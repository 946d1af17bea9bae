package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The promise of the README: nine files, of about a thousand lines, are a training step. */
class ReadingPathTest {
    private static final Path ROOT = Path.of("..");
    private static final Pattern ROW = Pattern.compile("\\| (\\d) \\| \\[\\w+]\\((\\S+\\.java)\\) \\|.*\\| (\\d+) \\|");

    @Test
    void theMapNamesTheLengthsOfTheFiles() throws IOException {
        int files = 0;
        int lines = 0;
        for (String line : Files.readAllLines(ROOT.resolve("docs/map.md"))) {
            var row = ROW.matcher(line);
            if (row.matches()) {
                long length = Files.readAllLines(ROOT.resolve("docs").resolve(row.group(2)))
                        .size();
                assertThat((double) length).as(line).isCloseTo(Double.parseDouble(row.group(3)), within(0.05 * length));
                files++;
                lines += (int) length;
            }
        }
        assertThat(files).isEqualTo(9);
        assertThat(lines).isLessThan(1_350);
    }
}
