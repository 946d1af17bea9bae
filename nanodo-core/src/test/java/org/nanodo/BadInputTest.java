package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.assertj.core.api.ThrowingConsumer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.nanodo.config.ConfigReader;
import org.nanodo.data.PackedDataset;
import org.nanodo.files.Json;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.Generation;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.TransformerConfig;
import org.nanodo.optim.Schedule;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.OutOfMemoryException;
import org.nanodo.runtime.Tensors;
import org.nanodo.source.TextSource;
import org.nanodo.source.TokenSource;
import org.nanodo.tokenizer.Tokenizer;
import org.nanodo.train.DivergedException;
import org.nanodo.train.Trainer;
import org.nanodo.train.TrainerBuilder;

/**
 * What a user gets for each kind of bad input: the type of the exception, and what its message has to contain. A message is
 * one or two sentences without C++ frames.
 */
class BadInputTest {
    private static final Tokenizer BYTES = Tokenizer.bytes();
    private static final PackedDataset DATA = PackedDataset.of(TextSource.of("some text to learn from"))
            .length(16)
            .batch(4);

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
        return Stream.of(tokenizers(), sources(), checkpoints(), configs(), models(), trainers(), tensors())
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
        return List.of(
                json("not JSON", "<html>", "is not a complete tokenizer.json", "line 1, column 1"),
                json("JSON cut short", "{\"decoder\":{\"type\":\"Fu", "is not a complete tokenizer.json", "line 1"),
                json("JSON null", "null", "it is not a JSON object"),
                json("a tokenizer without a model", "{}", "it has no object \"model\""),
                json("a name twice", "{\"model\":1,\"model\":2}", "Duplicate field 'model'"),
                json("two texts", tokenizer("", "{\"a\":0}") + "{}", "Trailing token"),
                json("100 levels", "[".repeat(100), "nesting depth (65)", "64"),
                json("half a character", tokenizer("", "{\"\\uD800\":0}"), "half a character"),
                json("a number beyond a double", tokenizer("\"a\":1e999,", "{\"a\":0}"), "too large"),
                json("a decoder without a type", tokenizer("\"decoder\":[],", "{\"a\":0}"), "decoder is neither null"),
                json(
                        "a decoder that strips ends",
                        tokenizer("\"decoder\":{\"type\":\"Strip\",\"stop\":1},", "{\"a\":0}"),
                        "\"stop\""),
                json(
                        "a damaged character map",
                        tokenizer(
                                "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAAAAA=\"},",
                                "{\"a\":0}"),
                        "normalizer: its precompiled_charsmap has a trie of 0 bytes"),
                json(
                        "a template with two texts",
                        tokenizer(
                                "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]},",
                                "{\"a\":0}"),
                        "post_processor requires a second text"),
                json(
                        "pieces of no length",
                        tokenizer("\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0},", "{\"a\":0}"),
                        "pieces of length 0"),
                json(
                        "an added token that is stripped",
                        tokenizer(
                                "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\"}]},\"added_tokens\":[{\"id\":1,\"content\":\" \"}],",
                                "{\"a\":0}"),
                        "that the normalizer may delete"),
                json("an empty vocabulary", tokenizer("", "{}"), "model.vocab is not"),
                json("a vocabulary that is a text", tokenizer("", "\"a\""), "model.vocab is not"),
                json("a negative id", tokenizer("", "{\"a\":-1}"), "the id -1", "from 0 to 16777215"),
                json("an id beyond all bounds", tokenizer("", "{\"a\":2147483647}"), "2147483647", "16777215"),
                json("an id that is no number", tokenizer("", "{\"a\":\"0\"}"), "model.vocab has the id \"0\""),
                json("a token without a score", tokenizer("", "[[\"a\"]]"), "model.vocab[0]"),
                json("an unknown token beyond", tokenizer("", "[[\"a\",0]],\"unk_id\":1"), "model.unk_id is 1 of 1"),
                json("random ids", tokenizer("", "{\"a\":0},\"dropout\":0.1"), "model.dropout is 0.1"),
                json("a merge of one", tokenizer("", "{\"a\":0},\"merges\":[\"aa\"]"), "model.merges[0]"),
                json(
                        "a merge without its prefix",
                        tokenizer("", "{\"a\":0},\"merges\":[[\"a\",\"a\"]],\"continuing_subword_prefix\":\"##\""),
                        "model.merges[0]",
                        "##"),
                json(
                        "an added token without id",
                        tokenizer("\"added_tokens\":[{\"content\":\"a\"}],", "{\"a\":0}"),
                        "no id"),
                json(
                        "a model without what its kind needs",
                        tokenizer("", "{\"a\":0}"),
                        "is not a complete tokenizer.json",
                        "ModelUntagged"),
                file(
                        "a text that a vocabulary lacks",
                        "json",
                        "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"a\":0}}}"
                                .getBytes(StandardCharsets.UTF_8),
                        file -> Tokenizer.huggingFace(file, "a", "a", "a").encode("b"),
                        "cannot encode this text"),
                sentencePiece("not a SentencePiece model", "model".getBytes(StandardCharsets.UTF_8)),
                sentencePiece("an empty tokenizer", new byte[0], "0 bytes"),
                sentencePiece(
                        "a damaged map of characters", new byte[] {26, 7, 18, 5, -1, -1, -1, 127, 0}, "a trie of"),
                new Case(
                        "no tokenizer there",
                        () -> Tokenizer.sentencePiece(directory.resolve("none.model")),
                        NoSuchFileException.class,
                        "none.model does not exist"),
                new Case(
                        "a directory as a tokenizer",
                        () -> Tokenizer.huggingFace(directory),
                        IllegalArgumentException.class,
                        directory.toString(),
                        "a directory"),
                new Case(
                        "a character that is not in the alphabet",
                        () -> Tokenizer.characters("ab").encode("abc"),
                        IllegalArgumentException.class,
                        "'c' (U+0063) at position 2"));
    }

    private static Case json(String name, String content, String... message) {
        return file(name, "json", content.getBytes(StandardCharsets.UTF_8), Tokenizer::huggingFace, message);
    }

    private static Case sentencePiece(String name, byte[] content, String... message) {
        return file(name, "model", content, Tokenizer::sentencePiece, message);
    }

    private static String tokenizer(String parts, String vocabulary) {
        return "{" + parts + "\"model\":{\"vocab\":" + vocabulary + "}}";
    }

    private interface Opening {
        Object open(Path file) throws IOException;
    }

    /** A file of this content, which the message has to name. */
    private static Case file(String name, String ending, byte[] content, Opening opening, String... message) {
        String[] all = Arrays.copyOf(message, message.length + 1);
        Path file = directory.resolve(name.replace(' ', '-') + "." + ending);
        all[message.length] = file.toString();
        return new Case(name, () -> opening.open(Files.write(file, content)), IllegalArgumentException.class, all);
    }

    private static List<Case> sources() {
        return List.of(
                missing("no text there", TextSource::files),
                missing("no lines there", TextSource::lines),
                missing("no archive there", TextSource::archive),
                missing("no tokens there", TokenSource::nanoGpt),
                missing("no JSON lines there", file -> TextSource.jsonLines(file.toString(), "text")),
                source("an empty text", "", TextSource::files, "is empty"),
                source("empty lines", "", TextSource::lines, "is empty"),
                source("blank lines", " \n\n", TextSource::lines, "only blank lines"),
                source("empty JSON lines", "", BadInputTest::jsonLines, "is empty"),
                aDirectory("a directory as lines", TextSource::lines, "not a file"),
                aDirectory("a directory as sections", file -> TextSource.sections(file, 9), "not a file"),
                aDirectory("a directory as an archive", TextSource::archive, "not a file"),
                aDirectory("a directory as JSON lines", BadInputTest::jsonLines, "name the files in it"),
                aDirectory("a directory without text", TextSource::files, "no files with text"),
                source("sections without end", "a", file -> TextSource.sections(file, Integer.MAX_VALUE), "2147483647"),
                source("sections of nothing", "a", file -> TextSource.sections(file, 0), "0 bytes"),
                source("half a token", "abc", TokenSource::nanoGpt, "3 bytes"),
                new Case(
                        "an archive that is none",
                        () -> TextSource.archive(write("none.zip", "text")),
                        IOException.class,
                        "none.zip is not a jar or zip archive"),
                read(
                        "a line that is not JSON",
                        "{\"text\":\"a\"}\n{\"text",
                        BadInputTest::jsonLines,
                        "line 2 is not JSON"),
                read("a line that is not UTF-8", "\u00FF", BadInputTest::jsonLines, "line 1 is not UTF-8 in 1 places"),
                read(
                        "a line without the field",
                        "{\"a\":1}",
                        BadInputTest::jsonLines,
                        "line 1 has no field \"text\", only a"),
                read(
                        "a line with a thousand long names",
                        IntStream.range(0, 1000)
                                .mapToObj(i -> "\"" + i + "x".repeat(100) + "\":0")
                                .collect(Collectors.joining(",", "{", "}")),
                        BadInputTest::jsonLines,
                        "line 1 has no field"),
                read(
                        "a name of a megabyte",
                        "{\"" + "k".repeat(1_000_000) + "\":0}",
                        BadInputTest::jsonLines,
                        "line 1 is not JSON: Name length"),
                read("gzip cut short", "\u001F\u008B\b\0\0\0\0\0\0\0K", BadInputTest::jsonLines, "truncated"),
                read(
                        "text as Parquet",
                        "no Parquet",
                        file -> TextSource.parquet(file.toString(), "text"),
                        "truncated or damaged, or not a Parquet file"),
                read(
                        "a file that was deleted",
                        "text",
                        file -> {
                            TextSource source = TextSource.files(file);
                            Files.delete(file);
                            return source;
                        },
                        "no longer exists"),
                read(
                        "a file that has become shorter",
                        "a text of some length",
                        file -> {
                            TextSource source = TextSource.sections(file, 100);
                            Files.writeString(file, "a");
                            return source;
                        },
                        "has become shorter"),
                new Case(
                        "a batch beyond an array",
                        () -> PackedDataset.of(TextSource.of("a"))
                                .batch(100_000_000)
                                .iterator(),
                        IllegalArgumentException.class,
                        "100000000 rows of 512 tokens",
                        "1073741824"),
                new Case(
                        "a batch beyond memory",
                        () -> PackedDataset.of(TextSource.of("a"))
                                .batch((int) Math.min(
                                        (1 << 21) + 1, Runtime.getRuntime().maxMemory() / 512 / 19))
                                .iterator(),
                        IllegalArgumentException.class,
                        "rows of 512 tokens",
                        "raise -Xmx"));
    }

    private static TextSource jsonLines(Path file) throws IOException {
        return TextSource.jsonLines(file.toString(), "text");
    }

    private static Case missing(String name, Opening opening) {
        Path file = directory.resolve("none");
        return new Case(name, () -> opening.open(file), NoSuchFileException.class, file + " does not exist");
    }

    private static Case source(String name, String content, Opening opening, String... message) {
        return file(name, "txt", content.getBytes(StandardCharsets.UTF_8), opening, message);
    }

    private static Case aDirectory(String name, Opening opening, String message) {
        return new Case(
                name,
                () -> opening.open(Files.createDirectories(directory.resolve("a-directory"))),
                IllegalArgumentException.class,
                "a-directory",
                message);
    }

    private interface Reading {
        TextSource open(Path file) throws IOException;
    }

    /** A file that opens and cannot be read. Its bytes are the characters, as in Latin-1. */
    private static Case read(String name, String content, Reading reading, String message) {
        Path file = directory.resolve(name.replace(' ', '-'));
        return new Case(
                name,
                () -> {
                    Files.write(file, content.getBytes(StandardCharsets.ISO_8859_1));
                    try (var batches =
                            PackedDataset.of(reading.open(file)).epochs(1).iterator()) {
                        batches.next();
                    }
                },
                UncheckedIOException.class,
                file.toString(),
                message);
    }

    private static Path write(String name, String content) throws IOException {
        return Files.writeString(directory.resolve(name), content);
    }

    private static List<Case> checkpoints() {
        return new BadCheckpoints(directory.resolve("checkpoints")).cases();
    }

    private static List<Case> configs() {
        return List.of(
                config("a key that is not there", "There is no key \"batchsize\"", "batchsize=1"),
                config("a null source", "train_data[1] is null", "train_data=[{\"path\":\"a\"},null]"),
                config("a null evaluation set", "eval_data.a is null", "eval_data={\"a\":null}"),
                config("a null writer", "metric_writers[0] is null", "metric_writers=[null]"),
                config(
                        "an unknown writer",
                        "\"lg\" is none of [log, json_lines, tensorboard]",
                        "metric_writers=[\"lg\"]"),
                config(
                        "a null name",
                        "opt.weight_decay_exclusion_names[0] is null",
                        "opt.weight_decay_exclusion_names=[null]"),
                config(
                        "a null factor",
                        "opt.layerwise_lr_multiplier.a is null",
                        "opt.layerwise_lr_multiplier={\"a\":null}"),
                config("an empty path", "path is empty", "train_data=[{\"path\":\"\"}]"),
                config("an empty workdir", "workdir is empty", "workdir="),
                config("an empty checkpoint to begin from", "init_from is empty", "init_from="),
                config("a null workdir", "\"workdir\" is null", "workdir=null"),
                config("a list as workdir", "\"workdir\" does not fit", "workdir=[1]"),
                config("no checkpoint to keep", "max_to_keep is 0, it must be positive", "max_to_keep=0"),
                config("checkpoints every 0 steps", "checkpoint_every_steps is 0", "checkpoint_every_steps=0"),
                config("a negative keep_every", "keep_every is -1", "keep_every=-1"),
                config("evaluations every 0 steps", "eval_every_steps is 0", "eval_every_steps=0"),
                config("no evaluation rows", "eval_batch_size is 0", "eval_batch_size=0"),
                config("no epochs", "train_epochs is 0", "train_epochs=0"),
                config("more than an int", "\"batch_size\" does not fit", "batch_size=2147483648"),
                config("keys below a value", "seed has no keys below it", "seed.x=1"),
                configFile("a number for text", "\"workdir\" does not fit", "{\"workdir\":1e3}"),
                configFile("a boolean for text", "it must be a string, in quotes", "{\"vocab_path\":true}"),
                configFile("a file of null", "is not a tree of keys and values", "null"),
                configFile("a file of deep nesting", "nesting", "{\"a\":".repeat(100_000)),
                configFile("a file with a long key", "exceeds the maximum", "{\"" + "k".repeat(1 << 20) + "\":1}"),
                configFile("a key twice", "Duplicate field 'seed'", "{\"seed\":1,\"seed\":2}"));
    }

    private static Case config(String name, String message, String override) {
        return new Case("config: " + name, () -> ConfigReader.of(override), IllegalArgumentException.class, message);
    }

    private static Case configFile(String name, String message, String text) {
        Path file = directory.resolve("config.json");
        return new Case(
                "config: " + name,
                () -> ConfigReader.read(Files.writeString(file, text)),
                IllegalArgumentException.class,
                message,
                file.toString());
    }

    private static List<Case> models() {
        return List.of(
                bad("no vocabulary", () -> TransformerConfig.builder().build(), "V (vocabulary size) is 0", "positive"),
                bad("D that H does not divide", () -> sizes().H(3).build(), "D=32", "divisible by H=3"),
                bad("no positions", () -> sizes().L(0).build(), "L (context length) is 0"),
                bad("a config that is not JSON", () -> Json.read("{", TransformerConfig.class), "TransformerConfig"),
                bad("a config without a size", () -> Json.read("{}", TransformerConfig.class), "D"),
                bad("a model of an unknown name", () -> ModelFactory.named("gtp2"), "\"gtp2\"", "gpt2", "nanodo"),
                withModel("one token", model -> model.logProbs(1), "1 tokens", "at least two"),
                withModel("more tokens than L", model -> model.logProbs(new int[17]), "17 tokens", "L=16"),
                withModel("an id above the vocabulary", model -> model.logProbs(1, 259), "259", "V=259"),
                withModel("a negative id", model -> model.logProbs(-1, 1), "-1", "V=259"),
                withModel(
                        "an id above the vocabulary in a tensor",
                        model -> model.forward(Tensors.ids(model.device(), new int[] {1, 259}, 1, 2)),
                        "ids are 0 to 258",
                        "to 259"),
                withModel(
                        "a row longer than L",
                        model -> model.forward(Tensors.ids(model.device(), new int[17], 1, 17)),
                        "17 tokens",
                        "L=16"),
                withModel("no prompt", model -> model.generate(BYTES), "no prompt"),
                withModel("another vocabulary", model -> model.generate(Tokenizer.gpt2(), "a"), "50257", "V=259"),
                withModel(
                        "a negative temperature",
                        model -> sample(model).temperature(-1).text(),
                        "temperature",
                        "-1"),
                withModel(
                        "a temperature of NaN",
                        model -> sample(model).temperature(Double.NaN).text(),
                        "NaN"),
                withModel("top-k of 0", model -> sample(model).topK(0).text(), "top-k", "0"),
                withModel("top-p of 0", model -> sample(model).topP(0).text(), "top-p", "0"),
                withModel("fewer than no tokens", model -> sample(model).maxTokens(-1), "maxTokens is -1"),
                withModel(
                        "all the tokens that an int can count, not sliding",
                        model -> sample(model)
                                .sliding(false)
                                .maxTokens(Integer.MAX_VALUE)
                                .text(),
                        "2147483647 new ones outgrow the 15"),
                withModel(
                        "a directory that exists",
                        FileAlreadyExistsException.class,
                        model -> model.save(directory),
                        "exists",
                        "choose another name"),
                withModel(
                        "a sampler that gives no token",
                        IllegalStateException.class,
                        model -> sample(model).sampler((logits, random) -> 259).text(),
                        "259",
                        "0 to 258"),
                withModel(
                        "parameters that are not numbers",
                        IllegalStateException.class,
                        model -> {
                            Tensors.fill(model.outEmbed().tensor(), Double.NaN);
                            sample(model).text();
                        },
                        "logits is NaN",
                        "diverged"),
                withModel(
                        "parameters that are not numbers, and the likeliest token",
                        IllegalStateException.class,
                        model -> {
                            Tensors.fill(model.outEmbed().tensor(), Double.NaN);
                            sample(model).temperature(0).text();
                        },
                        "logits is NaN"),
                withModel(
                        "a closed model",
                        IllegalStateException.class,
                        model -> {
                            model.close();
                            sample(model).text();
                        },
                        "The model is closed"));
    }

    private static List<Case> trainers() {
        return List.of(
                withModel("no data", model -> Trainer.of(model).steps(1).build(), "data(PackedDataset.of"),
                withModel("no steps", model -> Trainer.of(model).data(DATA).build(), "steps is 0"),
                withTrainer("no micro-batch", trainer -> trainer.accumulate(0), "0 micro-batches"),
                withTrainer(
                        "micro-batches that do not divide",
                        trainer -> trainer.accumulate(3),
                        "4 rows",
                        "3 micro-batches"),
                withTrainer("a clip of 0", trainer -> trainer.clip(0), "clip is 0.0"),
                withTrainer("a clip of NaN", trainer -> trainer.clip(Double.NaN), "clip is NaN"),
                withTrainer(
                        "checkpoints every 0 steps", trainer -> trainer.checkpoints(directory, 0, 1), "every 0 steps"),
                withTrainer("no checkpoint to keep", trainer -> trainer.checkpoints(directory, 1, 0), "keep is 0"),
                withTrainer("rows longer than L", trainer -> trainer.data(DATA.length(17)), "17 tokens", "L=16"),
                withTrainer("an evaluation every 0 steps", trainer -> trainer.evaluate(DATA, 0), "every 0 steps"),
                withTrainer(
                        "an evaluation set of another tokenizer",
                        trainer -> trainer.evaluate(DATA.tokenizer(Tokenizer.gpt2()), 1),
                        "another tokenizer"),
                withTrainer(
                        "two evaluation sets of one name",
                        trainer -> trainer.evaluate("a", DATA, 1).evaluate("a", DATA, 1),
                        "\"a\""),
                withTrainer(
                        "a tokenizer with more ids than V",
                        trainer -> trainer.data(DATA.tokenizer(Tokenizer.gpt2())),
                        "50257",
                        "V=259"),
                withTrainer(
                        "a loss that takes more memory than there is",
                        OutOfMemoryException.class,
                        trainer -> trainer.loss(chunk -> chunk.logits_CxV().new_empty(1L << 46)),
                        "not enough memory for a step of training",
                        "more were asked for",
                        "smaller batch"),
                withTrainer(
                        "a loss of shapes that do not fit",
                        RuntimeException.class,
                        trainer -> trainer.loss(chunk -> chunk.logits_CxV().mul(chunk.weights_C())),
                        "size of tensor a (259)"),
                withTrainer(
                        "a loss with a tensor that is closed",
                        IllegalStateException.class,
                        trainer -> {
                            Tensor closed = Tensors.zeros(Device.cpu(), 1);
                            closed.close();
                            trainer.loss(chunk -> chunk.logits_CxV().mul(closed));
                        },
                        "closed"),
                withTrainer("a negative learning rate", trainer -> trainer.schedule(step -> -1), "-1.0", "step 0"),
                withTrainer(
                        "a learning rate that diverges",
                        DivergedException.class,
                        trainer -> trainer.schedule(Schedule.constant(1e30)),
                        "was not applied",
                        "Lower the learning rate"));
    }

    private static TransformerConfig.Builder sizes() {
        return TransformerConfig.builder().D(32).H(4).L(16).N(1).F(32).V(259);
    }

    private static Generation sample(DecoderModel model) {
        return model.generate(BYTES, "a").maxTokens(2);
    }

    private static Case bad(String name, ThrowingCallable input, String... message) {
        return new Case(name, input, IllegalArgumentException.class, message);
    }

    private static Case withModel(String name, ThrowingConsumer<DecoderModel> use, String... message) {
        return withModel(name, IllegalArgumentException.class, use, message);
    }

    private static Case withModel(
            String name, Class<? extends Throwable> exception, ThrowingConsumer<DecoderModel> use, String... message) {
        ThrowingCallable input = () -> {
            try (var model = DecoderModel.create(sizes().build(), 1)) {
                use.acceptThrows(model);
            }
        };
        return new Case(name, input, exception, message);
    }

    private static Case withTrainer(String name, Consumer<TrainerBuilder> option, String... message) {
        return withTrainer(name, IllegalArgumentException.class, option, message);
    }

    private static Case withTrainer(
            String name, Class<? extends Throwable> exception, Consumer<TrainerBuilder> option, String... message) {
        return withModel(
                name,
                exception,
                model -> {
                    TrainerBuilder builder = Trainer.of(model).data(DATA).steps(4);
                    option.accept(builder);
                    try (var trainer = builder.build()) {
                        trainer.run();
                    }
                },
                message);
    }

    private static List<Case> tensors() {
        Device cpu = Device.cpu();
        Tensor closed = Tensors.zeros(cpu, 2);
        closed.close();
        Tensor many = Tensors.zeros(cpu, 1).expand(1L << 31);
        return List.of(
                of("a tensor of too few values", () -> Tensors.ids(cpu, new int[5], 2, 3), "5 values", "[2, 3]"),
                of("a negative size", () -> Tensors.zeros(cpu, 3, -1), "[3, -1]", "negative"),
                of("two negative sizes", () -> Tensors.floats(cpu, new float[6], -2, -3), "[-2, -3]", "negative"),
                of("a negative range", () -> Tensors.range(cpu, -4), "[-4]", "negative"),
                of(
                        "sizes that overflow",
                        () -> Tensors.empty(cpu, ScalarType.Byte, 1L << 62, 4),
                        "[4611686018427387904, 4]",
                        "addresses"),
                of("more values than an array holds", () -> Tensors.toFloats(many), "2147483648", "parts"),
                of("more values than an array of doubles holds", () -> Tensors.toDoubles(many), "2147483648", "parts"),
                of("memory that is not contiguous", () -> Tensors.memory(many), "contiguous"),
                of("a device that is not there", () -> Device.cuda(99), "CUDA device 99"),
                new Case(
                        "a tensor that no host can hold",
                        () -> Tensors.zeros(cpu, 1L << 10, 1L << 36),
                        OutOfMemoryException.class,
                        "[1024, 68719476736]",
                        "262144.0 GiB more were asked for"),
                closed("leaf", () -> Tensors.leaf(closed)),
                closed("gradient", () -> Tensors.gradient(closed)),
                closed("type", () -> Tensors.type(closed)),
                closed("to", () -> Tensors.to(closed, cpu)),
                closed("toFloats", () -> Tensors.toFloats(closed)),
                closed("toDoubles", () -> Tensors.toDoubles(closed)),
                closed("fill", () -> Tensors.fill(closed, 1)),
                closed("memory", () -> Tensors.memory(closed)),
                closed("hostBuffer", () -> Tensors.hostBuffer(closed)));
    }

    private static Case of(String name, ThrowingCallable input, String... message) {
        return new Case(name, input, IllegalArgumentException.class, message);
    }

    private static Case closed(String method, ThrowingCallable input) {
        return new Case("a closed tensor: " + method, input, IllegalStateException.class, "closed");
    }
}
