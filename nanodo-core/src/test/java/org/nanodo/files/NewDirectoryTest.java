package org.nanodo.files;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NewDirectoryTest {
    @TempDir
    Path directory;

    /** As a full disk does, whose error names no file. */
    @Test
    void aFileThatCannotBeWrittenIsNamed() throws Exception {
        var folder = new NewDirectory(directory);
        try (var file = folder.file("model.safetensors")) {
            Thread.currentThread().interrupt(); // which closes the channel of who writes
            assertThatThrownBy(() -> file.write(ByteBuffer.allocate(1)))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("model.safetensors cannot be written: ");
        } catch (IOException e) {
            assertThat(e).hasMessageContaining("model.safetensors cannot be written: ");
        } finally {
            Thread.interrupted();
        }
    }
}
