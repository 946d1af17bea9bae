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

    /** The error of a full disk, for example, names no file. */
    @Test
    void aFileThatCannotBeWrittenIsNamed() throws Exception {
        var created = new NewDirectory(directory);
        try (var file = created.file("model.safetensors")) {
            Thread.currentThread().interrupt(); // which closes the channel that is being written
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
