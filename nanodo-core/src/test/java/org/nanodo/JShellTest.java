package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import jdk.jshell.tool.JavaShellToolBuilder;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Runs docs/nanodo.jsh through the jshell tool, as a reader would. */
@Tag("slow")
class JShellTest {
    private static final Path SCRIPT = Path.of("..", "docs", "nanodo.jsh");

    @Test
    void theScriptTrainsAndSamples() throws Exception {
        var out = new ByteArrayOutputStream();
        var print = new PrintStream(out, true);
        JavaShellToolBuilder.builder()
                .out(print)
                .err(print)
                .persistence(new HashMap<>()) // not the user's preferences
                .start("--class-path", System.getProperty("java.class.path"), SCRIPT.toString());
        assertThat(out.toString())
                .doesNotContain("Error")
                .doesNotContain("Exception")
                .contains("sum: 6")
                .contains("step 200")
                .contains("sample: To be, or not");
    }

    /** A type of LibTorch's bindings with the name of one of ours makes that name ambiguous, unless it is imported singly. */
    @Test
    void theScriptImportsSinglyWhatLibTorchHasToo() throws IOException {
        List<String> lines = Files.readAllLines(SCRIPT);
        assertThat(lines).contains("import org.bytedeco.pytorch.*");
        var ambiguous = new ClassFileImporter()
                .withImportOption(new ImportOption.DoNotIncludeTests()).importPackages("org.nanodo").stream()
                        .filter(type ->
                                type.isTopLevelClass() && type.getModifiers().contains(JavaModifier.PUBLIC))
                        .filter(type -> lines.contains("import " + type.getPackageName() + ".*"))
                        .filter(type -> existsInLibTorch(type.getSimpleName()))
                        .map(JavaClass::getName)
                        .toList();
        assertThat(ambiguous).contains("org.nanodo.runtime.Scope", "org.nanodo.optim.AdamW");
        assertThat(lines).containsAll(ambiguous.stream().map("import "::concat).toList());
    }

    private static boolean existsInLibTorch(String name) {
        try {
            Class.forName("org.bytedeco.pytorch." + name, false, JShellTest.class.getClassLoader());
            return true;
        } catch (ClassNotFoundException e) {
            return false;
        }
    }
}
