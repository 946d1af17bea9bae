package org.nanodo.files;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import java.io.File;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class OptionalLibraryTest {
    /** The tests run with all of the optional dependencies. */
    @ParameterizedTest
    @EnumSource
    void namesTheVersionsThatAreTested(OptionalLibrary library) {
        assertThatCode(library::require).doesNotThrowAnyException();
        List<String> jars = Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .map(entry -> Path.of(entry).getFileName().toString())
                .toList();
        for (String artifact : library.artifacts().split(" and ")) {
            String[] coordinates = artifact.split(":");
            assertThat(jars).contains(coordinates[1] + "-" + coordinates[2] + ".jar");
        }
    }
}
