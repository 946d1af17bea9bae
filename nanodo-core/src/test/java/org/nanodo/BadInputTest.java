package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What a user gets for each kind of bad input: the type of the exception, and what its message has to contain. A message is
 * one or two sentences without C++ frames.
 */
class BadInputTest {
    @TempDir
    static Path directory;

    /**
     * One bad input.
     *
     * @param name what is wrong, unique in the table
     * @param input the call that has to fail
     * @param exception its type
     * @param message what the exception's message has to contain
     */
    record Case(String name, ThrowingCallable input, Class<? extends Throwable> exception, String... message) {
        @Override
        public String toString() {
            return name;
        }
    }

    static Stream<Case> cases() {
        return Stream.of(tokenizers(), sources(), checkpoints(), configs(), models())
                .flatMap(List::stream);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void isAnErrorThatNamesIt(Case bad) {
        Throwable thrown = catchThrowable(bad.input());
        assertThat(thrown).isInstanceOf(bad.exception());
        assertThat(thrown.getMessage())
                .contains(bad.message())
                .hasSizeLessThan(600)
                .doesNotContain("frame #");
    }

    private static List<Case> tokenizers() {
        return List.of();
    }

    private static List<Case> sources() {
        return List.of();
    }

    private static List<Case> checkpoints() {
        return List.of();
    }

    private static List<Case> configs() {
        return List.of();
    }

    private static List<Case> models() {
        return List.of();
    }
}
