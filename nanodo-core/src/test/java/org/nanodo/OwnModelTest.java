package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.model.BlockModel;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFactory;
import org.nanodo.runtime.Device;
import org.nanodo.tokenizer.Tokenizer;

/** A user's own model, {@link AttentionOnly}, as docs/models.md shows it. */
class OwnModelTest {
    @TempDir
    Path directory;

    @Test
    void theDocumentationShowsTheModelAsItIs() throws Exception {
        String source = Files.readString(Path.of("src/test/java/org/nanodo/AttentionOnly.java"));
        assertThat(Files.readString(Path.of("../docs/models.md")))
                .contains(source.substring(source.indexOf("/** A Transformer of attention alone")));
    }

    @Test
    void itTrainsGeneratesAndIsLoadedByName() throws Exception {
        Path services = Files.createDirectories(directory.resolve("META-INF/services"));
        Files.writeString(services.resolve(ModelFactory.class.getName()), AttentionOnly.Factory.class.getName());
        ClassLoader before = Thread.currentThread().getContextClassLoader();
        try (var withFactory = new URLClassLoader(new URL[] {directory.toUri().toURL()}, before)) {
            Thread.currentThread().setContextClassLoader(withFactory);
            var losses = new ArrayList<Double>();
            Path saved = directory.resolve("model");
            try (var model = ModelFactory.named("attention-only").create(TinyRun.config(false), 1, Device.cpu());
                    var trainer = TinyRun.builder(model, 20)
                            .listen(metrics -> losses.add(metrics.get("train_loss")))
                            .build()) {
                trainer.run();
                model.save(saved);
                assertThat(losses.get(19)).isLessThan(losses.get(0) - 0.5);
                assertThat(model.parameters()).hasSize(5);
                assertThat(((BlockModel) model).blocks().get(1).parameters())
                        .isEqualTo(model.parameters().subList(3, 5));
                try (var loaded = LanguageModel.load(saved)) {
                    assertThat(loaded.logProbs(1, 2, 3)).containsExactly(model.logProbs(1, 2, 3), within(0.0));
                    assertThat(loaded.generate(Tokenizer.bytes(), "The")
                                    .seed(7)
                                    .maxTokens(8)
                                    .text())
                            .isEqualTo(model.generate(Tokenizer.bytes(), "The")
                                    .seed(7)
                                    .maxTokens(8)
                                    .text());
                }
            }
        } finally {
            Thread.currentThread().setContextClassLoader(before);
        }
    }
}
