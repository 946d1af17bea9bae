package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Checks that docs/developing.md names tests that exist. */
class DevelopingTest {
    private static final Pattern TEST = Pattern.compile("`(\\w+Test)(?:\\.(\\w+))?`");

    @Test
    void theTestsOfTheLawsExist() throws IOException {
        var sources = new HashMap<String, String>();
        for (Path module : new Path[] {Path.of("."), Path.of("..", "nanodo-examples")}) {
            try (Stream<Path> files = Files.walk(module.resolve("src/test/java"))) {
                for (Path file : files.filter(Files::isRegularFile).toList()) {
                    sources.put(file.getFileName().toString(), Files.readString(file));
                }
            }
        }
        String text = Files.readString(Path.of("..", "docs", "developing.md"));
        assertThat(TEST.matcher(text).results()).hasSizeGreaterThan(30).allSatisfy(test -> check(test, sources));
    }

    private static void check(MatchResult test, Map<String, String> sources) {
        String file = test.group(1) + ".java";
        assertThat(sources).containsKey(file);
        if (test.group(2) != null) {
            assertThat(sources.get(file)).as(file).contains("void " + test.group(2) + "(");
        }
    }
}
