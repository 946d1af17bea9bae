package org.nanodo;

import static com.tngtech.archunit.base.DescribedPredicate.describe;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchRule;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Data flows one way, so each package knows only those before it. */
class ArchitectureTest {
    private static final JavaClasses classes = new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages("org.nanodo");

    @Test
    void runtimeImportsNone() {
        mayImport("runtime");
    }

    @Test
    void checkpoint() {
        mayImport("checkpoint", "runtime");
    }

    @Test
    void data() {
        mayImport("data", "runtime");
    }

    @Test
    void model() {
        mayImport("model", "runtime", "checkpoint", "data");
    }

    @Test
    void train() {
        mayImport("train", "runtime", "checkpoint", "data", "model");
    }

    @Test
    void distributed() {
        mayImport("distributed", "runtime", "checkpoint", "data", "model", "train");
    }

    @Test
    void config() {
        mayImport("config", "runtime", "checkpoint", "data", "model", "train", "distributed");
    }

    @Test
    void experimentalWhichNoneImportsAndMayBeDeleted() {
        onlyImports("experimental", "runtime", "checkpoint", "data", "model")
                .allowEmptyShould(true)
                .check(classes);
    }

    @Test
    void everyClassIsInAPackageOfTheTable() {
        classes()
                .should()
                .resideInAnyPackage(packages(List.of(
                        "runtime", "checkpoint", "data", "model", "experimental", "train", "distributed", "config")))
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

    private static void mayImport(String name, String... others) {
        onlyImports(name, others).check(classes);
    }

    private static ArchRule onlyImports(String name, String... others) {
        var allowed = new ArrayList<>(List.of(others));
        allowed.add(name);
        return noClasses()
                .that()
                .resideInAPackage("org.nanodo." + name + "..")
                .should()
                .dependOnClassesThat(describe(
                        "are of a later package",
                        used -> used.getPackageName().startsWith("org.nanodo")
                                && allowed.stream()
                                        .noneMatch(p -> used.getPackageName().equals("org.nanodo." + p))));
    }

    private static String[] packages(List<String> names) {
        return names.stream().map(name -> "org.nanodo." + name + "..").toArray(String[]::new);
    }
}
