package org.nanodo.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.LanguageModel;
import org.nanodo.runtime.Tensors;
import org.nanodo.train.Loss;

class TrainRunTest {
    @TempDir
    Path directory;

    private Path text;

    @BeforeEach
    void writeText() throws IOException {
        text = Files.writeString(
                directory.resolve("text.txt"), "To be, or not to be, that is the question.\n".repeat(40));
    }

    /** Small and without files of events, until said otherwise. */
    private TrainConfig config(String... overrides) {
        var all = new ArrayList<>(List.of(
                "model.D=16",
                "model.H=2",
                "model.L=16",
                "model.N=2",
                "model.F=32",
                "model.dtype=float32",
                "batch_size=4",
                "opt.num_train_steps=6",
                "opt.warmup_steps=2",
                "eval_every_steps=3",
                "metric_writers=[\"json_lines\"]",
                "train_data=[{\"path\":\"%s\",\"format\":\"lines\"}]".formatted(text),
                "workdir=" + directory.resolve("run")));
        all.addAll(List.of(overrides));
        return ConfigReader.of(all.toArray(String[]::new));
    }

    @Test
    void trainsEvaluatesWritesAndGoesOn() throws Exception {
        Path run = directory.resolve("run");
        String eval = "eval_data={\"\":{\"path\":\"%s\",\"format\":\"lines\"},\"again\":{\"path\":\"%s\"}}"
                .formatted(text, text);
        var heard = new ArrayList<Metrics>();
        try (var first =
                TrainRun.of(config(eval, "metric_writers=[\"json_lines\",\"tensorboard\",\"log\"]"), heard::add)) {
            first.trainer().run();
        }
        assertThat(heard.stream().filter(metrics -> metrics.has("train_loss"))).hasSize(6);
        assertThat(heard.stream().filter(metrics -> metrics.has("again/eval_loss_bpB") && metrics.has("eval_loss_uc")))
                .hasSize(3);
        assertThat(heard.get(0).step()).as("the untrained model").isZero();
        assertThat(heard.get(1).has("updates/all/rms")).isTrue();
        assertThat(Files.readAllLines(run.resolve("metrics.jsonl"))).hasSize(9);
        assertThat(run.toFile().list()).anyMatch(name -> name.contains("tfevents"));
        assertThat(ConfigReader.read(run.resolve("train_config.json")).model().D())
                .isEqualTo(16);
        try (var second = TrainRun.of(config(eval, "opt.num_train_steps=8", "opt.decay_steps=4"))) {
            assertThat(second.trainer().step()).isEqualTo(6);
            second.trainer().run();
        }
        try (var fork = TrainRun.of(config(
                eval,
                "workdir=" + directory.resolve("fork"),
                "checkpoint_restore_dir=" + run.resolve("step_00000006")))) {
            assertThat(fork.trainer().step()).isEqualTo(6);
        }
    }

    /** Twice the cross-entropy, to be told from it. */
    public static final class DoubledLoss implements Loss.Named {
        @Override
        public String name() {
            return "doubled";
        }

        @Override
        public Tensor sum(Chunk chunk) {
            return Loss.crossEntropy().sum(chunk).mul(new Scalar(2));
        }
    }

    @Test
    void aConfigChoosesALossByName() throws Exception {
        var losses = new ArrayList<Double>();
        for (String loss : new String[] {"null", "cross_entropy", "doubled"}) {
            try (var run = TrainRun.of(
                    config("loss=" + loss, "workdir=" + directory.resolve(loss)),
                    metrics -> losses.add(metrics.step() == 1 ? metrics.get("train_loss") : 0))) {
                run.trainer().run();
            }
        }
        losses.removeIf(loss -> loss == 0);
        assertThat(losses.get(1)).isEqualTo(losses.get(0));
        assertThat(losses.get(2)).isCloseTo(2 * losses.get(0), within(1e-5));
    }

    /** As in NanoDO, evaluation rows are as long as the context, and eval_max_target_length only warns. */
    @Test
    @Tag("slow")
    void evaluationRowsAreAsLongAsTheContext() throws Exception {
        var losses = new ArrayList<Double>();
        for (int target : new int[] {4, 16, 512}) {
            try (var run = TrainRun.of(
                    config(
                            "eval_data={\"\":{\"path\":\"%s\",\"format\":\"lines\"}}".formatted(text),
                            "eval_max_target_length=" + target,
                            "workdir=" + directory.resolve("eval" + target)),
                    metrics -> losses.add(metrics.step() == 0 ? metrics.get("eval_loss") : 0))) {
                run.trainer().run();
            }
        }
        assertThat(losses.stream().filter(loss -> loss > 0).distinct()).hasSize(1);
    }

    /** NanoDO's options are options of each rule. */
    @ParameterizedTest
    @ValueSource(strings = {"adamw", "adafactor", "lion", "muon"})
    void everyOptimizerLearns(String optimizer) throws Exception {
        var losses = new ArrayList<Double>();
        try (var run = TrainRun.of(
                config(
                        "opt.optimizer=" + optimizer,
                        "opt.peak_learning_rate=" + (optimizer.equals("lion") ? 1e-3 : 1e-2),
                        "opt.decay_type=constant",
                        "opt.num_train_steps=12",
                        "opt.weight_decay=0.001",
                        "opt.independent_weight_decay=true",
                        "opt.weight_decay_exclusion_names=[\"norm\"]",
                        "opt.layerwise_lr_multiplier={\"embed\":0.5}",
                        "opt.clip_by_global_norm=1",
                        "log_internal_metrics=false",
                        "checkpoint=false",
                        "grad_accumulation_steps=2"),
                metrics -> losses.add(metrics.get("train_loss")))) {
            run.trainer().run();
        }
        assertThat(losses.get(11)).isLessThan(losses.get(0) - 0.3);
    }

    @Test
    @Tag("slow")
    void anyModelWithItsOwnOptions() throws Exception {
        Path workdir = directory.resolve("run");
        try (var run = TrainRun.of(config("model.kind=llama", "model.options.kvHeads=1", "document_mask=true"))) {
            run.trainer().run();
        }
        try (var model = LanguageModel.load(workdir.resolve("step_00000006"))) {
            assertThat(model.config().D()).isEqualTo(16);
            assertThat(workdir.resolve("step_00000006/config.json")).content().contains("\"kvHeads\" : 1");
        }
        assertThatThrownBy(() -> TrainRun.of(config()))
                .as("the default model in the same directory")
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("holds a model of another config");
        assertThatThrownBy(() -> TrainRun.of(config("model.kind=llama", "model.options.kvheads=1")))
                .hasMessageContaining("it has no field \"kvheads\", its fields are [")
                .hasMessageContaining("kvHeads");
    }

    /** The parameters alone, of another optimizer and batch; a run that goes on keeps its own. */
    @Test
    void aRunMayBeginWithTheParametersOfAnother() throws Exception {
        Path first = directory.resolve("run");
        float[] trained;
        try (var run = TrainRun.of(config())) {
            run.trainer().run();
            trained = Tensors.toFloats(run.model().parameters().get(0).tensor());
        }
        String[] other = {
            "init_from=" + first, "workdir=" + directory.resolve("second"), "opt.optimizer=lion", "batch_size=2"
        };
        try (var run = TrainRun.of(config(other))) {
            assertThat(run.trainer().step()).isZero();
            assertThat(Tensors.toFloats(run.model().parameters().get(0).tensor()))
                    .isEqualTo(trained);
            run.trainer().run();
        }
        try (var run = TrainRun.of(config(other))) {
            assertThat(run.trainer().step()).isEqualTo(6);
            assertThat(Tensors.toFloats(run.model().parameters().get(0).tensor()))
                    .isNotEqualTo(trained);
        }
        assertThatThrownBy(() -> TrainRun.of(
                        config("init_from=" + first, "vocab_path=gpt2", "workdir=" + directory.resolve("x"))))
                .hasMessageContaining("was trained with another tokenizer than vocab_path gpt2");
    }

    @Test
    void severalSourcesAreMixedByWeight() throws Exception {
        Path json = Files.writeString(directory.resolve("a.jsonl"), "{\"body\":\"x y z\"}\n".repeat(20) + "broken\n");
        String sources =
                "train_data=[{\"path\":\"%s\",\"format\":\"lines\",\"weight\":3},{\"path\":\"%s\",\"field\":\"body\"%s}]";
        try (var run =
                TrainRun.of(config(sources.formatted(text, json, ",\"skip_corrupt\":true"), "checkpoint=false"))) {
            run.trainer().run();
            assertThat(run.trainer().step()).isEqualTo(6);
        }
        assertThatThrownBy(() -> {
                    try (var run = TrainRun.of(config(sources.formatted(text, json, ""), "checkpoint=false"))) {
                        run.trainer().run();
                    }
                })
                .hasMessageContaining("a.jsonl line 21 is not JSON");
    }

    /** What is held out is neither learnt from nor the other way round. */
    @Test
    void partOfTheDataIsHeldOut() throws Exception {
        var heard = new ArrayList<Metrics>();
        try (var run = TrainRun.of(config("eval_split=0.25", "train_epochs=1", "checkpoint=false"), heard::add)) {
            run.trainer().run();
        }
        double tokens = heard.stream()
                .filter(metrics -> metrics.has("train_loss"))
                .mapToDouble(metrics -> metrics.get("train_ntokens"))
                .sum();
        assertThat(tokens).isCloseTo(6 * 4 * 15, within(0.0));
        assertThat(heard.get(heard.size() - 1).has("eval_loss")).isTrue();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "train_data=[] | No train_data",
                "opt.optimizer=adamm | opt.optimizer \"adamm\" is unknown: adamw, adafactor, lion or muon",
                "opt.b1=0.9 opt.optimizer=adafactor | opt.b1 applies to adamw, lion, muon",
                "opt.weight_decay_exclusion_names=[\"bias\"] | no parameter's name contains \"bias\", they are [embed",
                "opt.layerwise_lr_multiplier={\"Kernel\":3} | no parameter's name contains \"Kernel\"",
                "loss=entropy | There is no loss \"entropy\" on the class path; known are cross_entropy, doubled",
                "opt.decay_type=cosin | opt.decay_type \"cosin\" is unknown",
                "opt.decay_type=constant_linear_decay_200p | does not fit into 6 steps",
                "opt.warmup_steps=9 | A warmup of 9 steps does not fit into 6",
                "model.kind=lama | There is no model \"lama\" on the class path; known are gpt2, llama, nanodo",
                "model.H=3 | D=16 is not divisible by H=3",
                "vocab_path=none.model | none.model does not exist",
                "vocab_path=words | vocab_path \"words\" is neither",
                "batch_size=5 grad_accumulation_steps=2 | batch_size 5 is not divisible by",
                "device=tpu | device \"tpu\" is neither cpu nor cuda",
                "train_data=[{\"path\":\"a.bin\"}] | may be nanoGPT's or llm.c's",
                "train_data=[{\"path\":\"none.txt\"}] | none.txt",
                "train_data=[{\"path\":\"none.txt\",\"section_bytes\":9}] | section_bytes applies to the format sections",
                "train_data=[{\"path\":\"none.txt\",\"field\":\"a\"}] | field applies to JSON lines",
                "model.options.kvHeads=2 | the model \"nanodo\" has no options",
                "opt.decay_type=constant_linear_decay_1.2.3 | is unknown",
                "eval_split=0.5 eval_data={\"\":{\"path\":\"pom.xml\"}} | Two evaluation sets are called \"\"",
            })
    void whatDoesNotFitIsNamed(String overrides, String message) {
        assertThatThrownBy(() -> TrainRun.of(config(overrides.split(" ")))).hasMessageContaining(message);
    }

    /** Also one that writes no checkpoints. */
    @Test
    @Tag("slow")
    void oneRunAtATimeWritesToAWorkdir() throws Exception {
        for (String first : List.of("checkpoint=true", "checkpoint=false")) {
            try (var run = TrainRun.of(config(first))) {
                run.trainer().run();
                String metrics = Files.readString(directory.resolve("run/metrics.jsonl"));
                for (String second : List.of("checkpoint=true", "checkpoint=false")) {
                    assertThatThrownBy(() -> TrainRun.of(config(second, "opt.num_train_steps=9")))
                            .isInstanceOf(IllegalStateException.class)
                            .hasMessageContaining("Another run is writing");
                }
                assertThat(directory.resolve("run/metrics.jsonl")).hasContent(metrics);
                assertThat(ConfigReader.read(directory.resolve("run/train_config.json"))
                                .opt()
                                .numTrainSteps())
                        .isEqualTo(6);
            }
        }
        assertThat(directory.resolve("run").toFile().list())
                .containsExactlyInAnyOrder("lock", "metrics.jsonl", "step_00000006", "train_config.json");
    }

    /** A saved model without manifest, too. */
    @Test
    void aRunMayBeginWithAModelOfOtherOrigin() throws Exception {
        Path saved = directory.resolve("saved");
        try (var run = TrainRun.of(config("checkpoint=false"))) {
            run.model().save(saved);
        }
        Files.delete(saved.resolve("manifest.json"));
        try (var run = TrainRun.of(config("init_from=" + saved, "seed=7", "checkpoint=false"));
                var model = LanguageModel.load(saved)) {
            assertThat(Tensors.toFloats(run.model().parameters().get(0).tensor()))
                    .isEqualTo(Tensors.toFloats(model.parameters().get(0).tensor()));
        }
    }

    @Test
    void aRunThatIsRefusedChangesNothingOfTheOther() throws Exception {
        try (var run = TrainRun.of(config())) {
            run.trainer().run();
        }
        Path saved = directory.resolve("run/train_config.json");
        String before = Files.readString(saved);
        assertThatThrownBy(() -> TrainRun.of(config("seed=7"))).hasMessageContaining("was trained on other data");
        assertThat(saved).hasContent(before);
    }

    /** A checkpoint's model has the vocabulary of its tokenizer. */
    @Test
    void anotherVocabularyThanTheCheckpointsIsRefused() throws Exception {
        try (var run = TrainRun.of(config())) {
            run.trainer().run();
        }
        assertThatThrownBy(() -> TrainRun.of(config("vocab_path=gpt2")))
                .hasMessageContaining("was trained with another tokenizer");
    }
}
