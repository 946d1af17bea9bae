package org.nanodo.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nanodo.runtime.Dtype;

class ConfigReaderTest {
    @TempDir
    Path directory;

    /** NanoDO's configs/default.py. */
    @Test
    void defaultsAreNanoDos() {
        TrainConfig c = ConfigReader.of();
        assertThat(c.seed()).isEqualTo(42);
        assertThat(c.batchSize()).isEqualTo(256);
        assertThat(c.trainEpochs()).isNull();
        assertThat(c.model())
                .isEqualTo(new ModelConfig(
                        "nanodo",
                        512,
                        8,
                        512,
                        6,
                        2048,
                        Dtype.BFLOAT16,
                        false,
                        c.model().options()));
        assertThat(c.opt().numTrainSteps()).isEqualTo(100_000);
        assertThat(c.opt().peakLearningRate()).isEqualTo(0.0016);
        assertThat(c.opt().initLearningRate()).isEqualTo(0.00016);
        assertThat(c.opt().finalLearningRate()).isEqualTo(0.00016);
        assertThat(c.opt().warmupSteps()).isEqualTo(1000);
        assertThat(c.opt().decayType()).isEqualTo("cosine");
        assertThat(c.opt().weightDecay()).isEqualTo(0.1);
        assertThat(c.opt().clipByGlobalNorm()).isNull();
        assertThat(c.opt().optimizer()).isEqualTo("adamw");
        assertThat(c.checkpoint()).isTrue();
        assertThat(c.checkpointEverySteps()).isEqualTo(2000);
        assertThat(c.maxToKeep()).isEqualTo(100);
        assertThat(c.evalEverySteps()).isEqualTo(100);
        assertThat(c.evalSteps()).isEqualTo(100);
        assertThat(c.evalMaxTargetLength()).isEqualTo(512);
        assertThat(c.writeTrainMetricsEverySteps()).isEqualTo(1);
        assertThat(c.logInternalMetrics()).isTrue();
    }

    /** default.json contains every key of the records, in their order, and nothing that they change. */
    @Test
    void theDefaultsAreComplete() throws Exception {
        assertThat(ConfigReader.of().toString()).isEqualTo(defaults().toPrettyString());
    }

    @Test
    void theDocumentationListsEveryKeyWithItsDefault() throws Exception {
        var row = Pattern.compile("\\| `(\\w+)` \\| `([^`]+)` \\| .*");
        var section = Pattern.compile("\\| (?:key|`(\\w+)\\.`) \\| default \\| .*");
        ObjectNode documented = defaults().objectNode();
        ObjectNode at = documented;
        for (String line : Files.readAllLines(Path.of("../docs/config.md"))) {
            Matcher matcher = section.matcher(line);
            if (matcher.matches()) {
                at = matcher.group(1) == null ? documented : documented.putObject(matcher.group(1));
            } else if (line.equals("## Sources")) {
                break;
            } else if ((matcher = row.matcher(line)).matches()) {
                at.set(matcher.group(1), new ObjectMapper().readTree(matcher.group(2)));
            }
        }
        assertThat(documented).isEqualTo(defaults());
    }

    @Test
    void theDocumentationListsEveryKeyOfASource() throws Exception {
        var snakeCase = new PropertyNamingStrategies.SnakeCaseStrategy();
        String docs = Files.readString(Path.of("../docs/config.md"));
        assertThat(Pattern.compile("(?m)^\\| `(\\w+)` \\|")
                        .matcher(docs.substring(docs.indexOf("## Sources")))
                        .results()
                        .map(row -> row.group(1)))
                .containsExactlyElementsOf(Arrays.stream(SourceConfig.class.getRecordComponents())
                        .map(component -> snakeCase.translate(component.getName()))
                        .toList());
    }

    private static ObjectNode defaults() throws IOException {
        try (var resource = ConfigReader.class.getResourceAsStream("default.json")) {
            return new ObjectMapper().readValue(resource, ObjectNode.class);
        }
    }

    @Test
    void whatIsPrintedIsReadAsTheSame() throws Exception {
        TrainConfig config = ConfigReader.of("model.D=64", "train_data=[{\"path\":\"a\",\"weight\":2}]", "workdir=w");
        Path file = Files.writeString(directory.resolve("config.json"), config.toString());
        assertThat(ConfigReader.read(file)).isEqualTo(config);
        assertThat(config.trainData().get(0).weight()).isEqualTo(2);
    }

    @Test
    void aFileSaysOnlyWhatIsDifferentAndOverridesCountMore() throws Exception {
        Path json = Files.writeString(
                directory.resolve("c.json"),
                "{\"model\":{\"D\":64,\"L\":32},\"eval_data\":{\"wiki\":{\"path\":\"w\"}}}");
        Path yaml = Files.writeString(
                directory.resolve("c.yaml"), "model: {D: 64, L: 32}\neval_data:\n  wiki: {path: w}\n");
        for (Path file : new Path[] {json, yaml}) {
            TrainConfig c = ConfigReader.read(
                    file, "model.L=16", "opt.peak_learning_rate=0.003", "workdir=a=b", "opt.decay_type=constant");
            assertThat(c.model().D()).isEqualTo(64);
            assertThat(c.model().L()).isEqualTo(16);
            assertThat(c.model().H()).isEqualTo(8);
            assertThat(c.opt().peakLearningRate()).isEqualTo(0.003);
            assertThat(c.opt().decayType()).isEqualTo("constant");
            assertThat(c.workdir()).isEqualTo("a=b");
            assertThat(c.evalData().get("wiki").path()).isEqualTo("w");
        }
    }

    /** What a key that takes a string is set to stays as it was written, but for null and quotes. */
    @Test
    void textStaysText() throws Exception {
        for (String text : new String[] {"1e3", "007", "true", "1.0", "-0", "NaN", "runs/a", "[x", "a=b", "{", "\"a"}) {
            assertThat(ConfigReader.of("workdir=" + text).workdir()).isEqualTo(text);
            assertThat(ConfigReader.of("init_from=" + text).initFrom()).isEqualTo(text);
            assertThat(ConfigReader.of("model.kind=" + text).model().kind()).isEqualTo(text);
            assertThat(ConfigReader.of("eval_data.wiki.path=" + text)
                            .evalData()
                            .get("wiki")
                            .path())
                    .isEqualTo(text);
        }
        assertThat(ConfigReader.of("workdir=\"1e3\"").workdir()).isEqualTo("1e3");
        assertThat(ConfigReader.of("init_from=\"null\"").initFrom()).isEqualTo("null");
        assertThat(ConfigReader.of("device=cpu", "device=null").device()).isNull();
        assertThat(ConfigReader.of("model.options.kvHeads=2").model().options()).containsEntry("kvHeads", 2);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "batchsize=1 | There is no key \"batchsize\" in a config: did you mean \"batch_size\"?",
                "opt.peak_learning_rat=1 | \"opt.peak_learning_rat\" in a config: did you mean \"opt.peak_learning_rate\"?",
                "model.d=3 | There is no key \"model.d\" in a config: did you mean \"model.D\"?",
                "d=3 | There is no key \"d\" in a config: did you mean \"model.D\"?",
                "opt.batch_size=3 | There is no key \"opt.batch_size\" in a config: did you mean \"batch_size\"?",
                "train_data=[{\"paht\":\"a\"}] | no key \"train_data[0].paht\" in a config: did you mean \"train_data[0].path\"?",
                "eval_data.a.paht=b | There is no key \"eval_data.a.paht\" in a config: did you mean \"eval_data.a.path\"?",
                "train_data=[{\"weight\":2}] | In a config, a source has no \"path\"",
                "train_data=[{\"path\":\"a\",\"weight\":\"b\"}] | \"train_data[0].weight\" does not fit in a config: it must be",
                "train_data=[3] | \"train_data[0]\" does not fit in a config: it must have keys and values",
                "opt=3 | \"opt\" does not fit in a config: it must have keys and values",
                "fsdp=x | \"fsdp\" does not fit in a config: it must have keys and values",
                "model.options=[] | \"model.options\" does not fit in a config: it must have keys and values",
                "opt.layerwise_lr_multiplier.a=b | \"opt.layerwise_lr_multiplier.a\" does not fit in a config: it must be a number",
                "model.dtype=3 | is none of [float32, bfloat16, bfloat16_head]",
                "eval_packing=[] | \"eval_packing\" does not fit in a config: it must be one of [",
                "batch_size=3000000000 | \"batch_size\" does not fit in a config: Numeric value (3000000000) out of range of int",
                "seed=1e99 | \"seed\" does not fit in a config: it must be a whole number",
                "document_mask=3 | \"document_mask\" does not fit in a config: it must be true or false",
                "batch_size=many | \"batch_size\" does not fit in a config: it must be a whole number",
                "batch_size=1.5 | \"batch_size\" does not fit in a config",
                "model.remat=True | it must be true or false",
                "metric_writers=log | it must be a list",
                "opt.lr=1 | There is no key \"opt.lr\" in a config: there are [num_train_steps, peak_learning_rate, init_",
                "seed=null | In a config, \"seed\" is null: leave it out for the default",
                "model.dtype=float16 | \"float16\" is none of [float32, bfloat16, bfloat16_head]",
                "metric_writers=[\"lg\"] | \"lg\" is none of [log, json_lines, tensorboard]",
                "opt.b1.x=1 | b1 has no keys below it",
                "batch_size=0 | In a config, batch_size is 0, it must be positive",
                "shuffle_buffer_bytes=0 | In a config, shuffle_buffer_bytes is 0, it must be positive",
                "opt=null | In a config, \"opt\" is null: leave it out for the default",
                "model.options=null | \"model.options\" is null",
                ".=1 | has an empty key",
                "model..D=1 | has an empty key",
                "eval_split=1 | eval_split is 1.0",
                "batch_size | sets nothing: write path.to.key=value",
            })
    void whatIsWrongIsNamed(String override, String message) {
        assertThatThrownBy(() -> ConfigReader.of(override))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(message)
                .hasMessageNotContainingAny("[Source", "org.nanodo", "java.", "Deserialization");
    }

    @Test
    void yamlIsReadAsStrictly() throws Exception {
        Path file = directory.resolve("c.yaml");
        for (String text : new String[] {"seed: 1\nseed: 2\n", "seed: 1\n---\nseed: 2\n", "sed: 1\n", "- 1\n"}) {
            Files.writeString(file, text);
            assertThatThrownBy(() -> ConfigReader.read(file)).as(text).hasMessageContaining("c.yaml");
        }
    }

    @Test
    void filesThatAreNoConfigs() throws Exception {
        assertThatThrownBy(() -> ConfigReader.read(directory.resolve("none.json")))
                .isInstanceOf(NoSuchFileException.class)
                .hasMessageContaining("none.json does not exist");
        Path file = directory.resolve("c.json");
        for (String text : new String[] {"", "[]", "3", "{", "{\"seed\":1,\"seed\":2}", "{} {}", "{\"sed\":1}"}) {
            Files.writeString(file, text);
            assertThatThrownBy(() -> ConfigReader.read(file))
                    .as(text)
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("c.json");
        }
    }
}
