package org.nanodo;

import static com.tngtech.archunit.base.DescribedPredicate.describe;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Data flows one way, so each package knows only those before it. */
class ArchitectureTest {
    private static final JavaClasses classes = new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages("org.nanodo");

    /** Each package, and those that it may import besides itself. */
    private static final Map<String, Set<String>> TABLE = table();

    private static Map<String, Set<String>> table() {
        var table = new LinkedHashMap<String, Set<String>>();
        table.put("runtime", Set.of());
        table.put("files", Set.of());
        table.put("tokenizer", Set.of("files"));
        table.put("source", Set.of("files", "tokenizer"));
        table.put("data", Set.of("files", "tokenizer", "source"));
        table.put("metrics", Set.of("files"));
        table.put("checkpoint", Set.of("runtime", "files"));
        table.put("model", Set.of("runtime", "files", "tokenizer", "checkpoint"));
        table.put("optim", Set.of("runtime", "files", "tokenizer", "checkpoint", "model"));
        table.put("experimental", Set.of("runtime", "files", "tokenizer", "checkpoint", "model"));
        var all = new TreeSet<>(table.keySet());
        all.remove("experimental"); // which nobody imports: it may be deleted
        for (String name : List.of("train", "distributed", "config")) {
            table.put(name, Set.copyOf(all));
            all.add(name);
        }
        return table;
    }

    static Set<String> packages() {
        return TABLE.keySet();
    }

    @ParameterizedTest
    @MethodSource("packages")
    void aPackageImportsThoseOfItsRowOnly(String name) {
        noClasses()
                .that()
                .resideInAPackage("org.nanodo." + name)
                .should()
                .dependOnClassesThat(describe(
                        "are of another row",
                        used -> used.getPackageName().startsWith("org.nanodo")
                                && !used.getPackageName().equals("org.nanodo." + name)
                                && TABLE.get(name).stream()
                                        .noneMatch(p -> used.getPackageName().equals("org.nanodo." + p))))
                .allowEmptyShould(name.equals("experimental"))
                .check(classes);
    }

    @Test
    void everyClassIsInAPackageOfTheTable() {
        classes()
                .should()
                .resideInAnyPackage(TABLE.keySet().stream()
                        .map(name -> "org.nanodo." + name)
                        .toArray(String[]::new))
                .check(classes);
    }

    @Test
    void onlyRuntimeHandlesMemoryAndStartUp() {
        noClasses()
                .that()
                .resideOutsideOfPackage("org.nanodo.runtime..")
                .should()
                .dependOnClassesThat(describe(
                        "are native plumbing",
                        used -> used.getPackageName().matches("(org.bytedeco.(javacpp|openblas)|com.sun.jna).*")
                                && !used.getSimpleName().equals("Pointer"))) // a tensor's superclass
                .check(classes);
    }

    @Test
    void theImportSeesThemAll() {
        assertThat(classes.size()).isGreaterThan(40);
    }
}
