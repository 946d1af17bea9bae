package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.HashMap;
import jdk.jshell.tool.JavaShellToolBuilder;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Runs docs/nanodo.jsh through the jshell tool, as a reader would. */
@Tag("slow")
class JShellTest {
    @Test
    void theScriptTrainsAndSamples() throws Exception {
        Path script = Path.of("..", "docs", "nanodo.jsh");
        var out = new ByteArrayOutputStream();
        var print = new PrintStream(out, true);
        JavaShellToolBuilder.builder()
                .out(print)
                .err(print)
                .persistence(new HashMap<>()) // not the user's preferences
                .start("--class-path", System.getProperty("java.class.path"), script.toString());
        assertThat(out.toString())
                .doesNotContain("Error")
                .doesNotContain("Exception")
                .contains("step 200")
                .contains("sample: To be, or not");
    }
}
