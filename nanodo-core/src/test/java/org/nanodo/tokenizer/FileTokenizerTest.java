package org.nanodo.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.sentencepiece.SpTokenizer;
import com.google.protobuf.CodedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.data.PackedDataset;
import org.nanodo.source.TextSource;

/** {@code small.model} and {@code tokenizer.json} were trained by the reference implementations, as were the ids here. */
class FileTokenizerTest {
    private static final String TEXT = "Größe,  你好 🙂\n\tfoo(bar)\u0000 ";

    @TempDir
    Path directory;

    @Test
    void sentencePiece() throws Exception {
        Tokenizer tokenizer = Tokenizer.sentencePiece(resource("small.model"));
        assertThat(tokenizer.encode("Tokens of a model"))
                .containsExactly(260, 307, 444, 342, 272, 273, 262, 271, 268, 298);
        assertThat(tokenizer.encode("Größe 🙂"))
                .containsExactly(502, 284, 199, 186, 199, 163, 272, 260, 244, 163, 157, 134);
        assertThat(tokenizer.decode(2, 260, 307, 444, 342, 272, 273, 0, 1, -1, 600))
                .isEqualTo("Token");
        assertThat(tokenizer.decode(3)).as("unknown").isEqualTo(" \u2047 ");
        assertThat(tokenizer.decode(244, 163)).as("half a character").isEqualTo("\uFFFD");
        assertThat(new int[] {tokenizer.padId(), tokenizer.bosId(), tokenizer.eosId(), tokenizer.vocabSize()})
                .containsExactly(0, 2, 1, 600);
    }

    @Test
    void huggingFace() throws Exception {
        Tokenizer tokenizer = Tokenizer.huggingFace(resource("tokenizer.json"));
        assertThat(tokenizer.encode("Tokens of a model")).containsExactly(52, 316, 83, 290, 257, 361);
        assertThat(tokenizer.encode("Größe 🙂"))
                .containsExactly(39, 82, 128, 115, 128, 254, 69, 221, 173, 254, 248, 225);
        assertThat(tokenizer.encode("a<|endoftext|>b")).containsExactly(65, 0, 66);
        assertThat(tokenizer.decode(0, 52, 316, 0, -1, 400)).isEqualTo("Token");
        assertThat(tokenizer.encode("!".repeat(10_000)).length)
                .as("not truncated")
                .isEqualTo(10_000);
        assertThat(new int[] {tokenizer.padId(), tokenizer.bosId(), tokenizer.eosId(), tokenizer.vocabSize()})
                .containsExactly(0, 0, 0, 400);
    }

    @ParameterizedTest
    @ValueSource(strings = {"small.model", "tokenizer.json"})
    void everyTextComesBackThroughTheTokenizerAndItsSpec(String name) throws Exception {
        Tokenizer tokenizer = open(resource(name));
        assertThat(tokenizer.decode(tokenizer.encode(TEXT))).isEqualTo(TEXT);
        assertThat(tokenizer.decode()).isEmpty();
        assertThat(tokenizer.encode("")).isEmpty();
        Tokenizer again = Tokenizer.of(tokenizer.spec());
        assertThat(again.encode(TEXT)).isEqualTo(tokenizer.encode(TEXT));
        assertThat(again.spec()).isEqualTo(tokenizer.spec());
    }

    @ParameterizedTest
    @ValueSource(strings = {"small.model", "tokenizer.json"})
    void severalThreadsEncodeTheSame(String name) throws Exception {
        Tokenizer tokenizer = open(resource(name));
        List<String> texts =
                IntStream.range(0, 500).mapToObj(i -> TEXT + i + " tokens").toList();
        List<int[]> alone = texts.stream().map(tokenizer::encode).toList();
        List<int[]> together = texts.parallelStream().map(tokenizer::encode).toList();
        assertThat(together).usingRecursiveComparison().isEqualTo(alone);
    }

    @ParameterizedTest
    @ValueSource(strings = {"small.model", "tokenizer.json"})
    void documentsArePacked(String name) throws Exception {
        Tokenizer tokenizer = open(resource(name));
        int[] ids = tokenizer.encode("model");
        try (var batches = PackedDataset.of(TextSource.of("model", "model"))
                .tokenizer(tokenizer)
                .length(ids.length + 2)
                .batch(1)
                .epochs(1)
                .iterator()) {
            int[] row = batches.next().inputs_BxL();
            assertThat(row).startsWith(name.equals("small.model") ? new int[] {2, ids[0], 1} : new int[] {ids[0], 0});
        }
    }

    @ParameterizedTest
    @CsvSource({"true, true", "true, false", "false, true", "false, false"})
    void decodesAsSentencePieceDoes(boolean addsPrefix, boolean removesSpaces) throws Exception {
        byte[] bytes = with("small.model", 3, out -> {
            out.writeBool(3, addsPrefix);
            out.writeBool(4, removesSpaces);
        });
        Tokenizer tokenizer = Tokenizer.sentencePiece(Files.write(directory.resolve("changed.model"), bytes));
        var random = new Random(1);
        try (var theirs = new SpTokenizer(bytes)) {
            for (int i = 0; i < 500; i++) {
                // Special tokens, the first pieces (one is a lone space) and some of the others, but no bytes.
                int[] ids = random.ints(1 + random.nextInt(6), 0, 4 + (random.nextBoolean() ? 20 : 300))
                        .map(id -> id < 4 ? id : id + 256)
                        .toArray();
                assertThat(tokenizer.decode(ids))
                        .as("%s", Arrays.toString(ids))
                        .isEqualTo(theirs.getProcessor().decode(ids));
            }
        }
    }

    @Test
    void aModelThatNanoDoCannotTrainWithIsRefused() throws Exception {
        // In a protobuf, appended fields override earlier ones.
        Path other = directory.resolve("other.model");
        Files.write(other, with("small.model", 2, out -> out.writeString(48, "<none>")));
        assertThatThrownBy(() -> Tokenizer.sentencePiece(other))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("other.model must have the padding id 0, not -1: train it with --pad_id=0");
        Files.write(other, with("small.model", 2, out -> out.writeString(48, "<s>")));
        assertThatThrownBy(() -> Tokenizer.sentencePiece(other)).hasMessageContaining("id 0, not 2");
        Files.write(other, with("small.model", 2, out -> out.writeString(46, "<none>")));
        assertThatThrownBy(() -> Tokenizer.sentencePiece(other)).hasMessageContaining("has no BOS piece");
        Files.write(other, with("small.model", 2, out -> out.writeString(47, "model")));
        assertThatThrownBy(() -> Tokenizer.sentencePiece(other)).hasMessageContaining("has no EOS piece");
        Files.write(other, with("small.model", 5, out -> out.writeByteArray(2, new byte[] {1})));
        assertThatThrownBy(() -> Tokenizer.sentencePiece(other)).hasMessageContaining("has denormalization rules");
    }

    @ParameterizedTest
    @ValueSource(strings = {"small.model", "tokenizer.json"})
    void aFileThatIsNoTokenizerIsRefused(String name) throws Exception {
        Path file = directory.resolve(name);
        assertThatThrownBy(() -> open(file))
                .isInstanceOf(NoSuchFileException.class)
                .hasMessageContaining(name + " does not exist");
        Files.createDirectory(file);
        assertThatThrownBy(() -> open(file)).hasMessageContaining(name).hasMessageContaining("a directory");
        Files.delete(file);
        byte[] whole = Files.readAllBytes(resource(name));
        byte[] foreign = Files.readAllBytes(resource(name.equals("small.model") ? "tokenizer.json" : "small.model"));
        for (byte[] bytes : List.of(
                Arrays.copyOf(whole, whole.length - 1),
                Arrays.copyOf(whole, whole.length / 2),
                foreign,
                "version https://git-lfs.github.com/spec/v1\n".getBytes(),
                "{}".getBytes(),
                new byte[100])) {
            Files.write(file, bytes);
            assertThatThrownBy(() -> open(file))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining(file + " is not a complete ");
        }
        Files.write(file, new byte[0]);
        assertThatThrownBy(() -> open(file)).hasMessageContaining(name).hasMessageContaining("0 bytes");
    }

    @ParameterizedTest
    @ValueSource(strings = {"small.model", "tokenizer.json"})
    void aFileIsKnownByItsContent(String name) throws Exception {
        Path here = Files.copy(resource(name), directory.resolve(name));
        Path there = Files.copy(here, directory.resolve("moved-" + name));
        Tokenizer tokenizer = open(here);
        assertThat(tokenizer.matches(open(there).spec())).isTrue();
        assertThat(tokenizer.matches(Tokenizer.bytes().spec())).isFalse();
        var changed = new HashMap<>(tokenizer.spec());
        changed.replace("sha256", "0");
        assertThat(tokenizer.matches(changed)).isFalse();

        String digest = tokenizer.spec().get("sha256");
        Files.delete(here);
        assertThatThrownBy(() -> Tokenizer.of(tokenizer.spec()))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(here + " is missing")
                .hasMessageContaining(digest);
        byte[] bytes = Files.readAllBytes(there);
        bytes[bytes.length / 2]++;
        Files.write(here, bytes);
        assertThatThrownBy(() -> Tokenizer.of(tokenizer.spec()))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(here + " has changed")
                .hasMessageContaining(digest);
    }

    @Test
    void specialTokensAreNamedConfiguredOrKnown() throws Exception {
        Path json = Files.copy(resource("tokenizer.json"), directory.resolve("tokenizer.json"));
        Tokenizer named = Tokenizer.huggingFace(json, "!", "\"", "#");
        assertThat(new int[] {named.bosId(), named.eosId(), named.padId()}).containsExactly(1, 2, 3);
        assertThat(Tokenizer.of(named.spec()).eosId()).isEqualTo(2);
        assertThat(named.matches(Tokenizer.huggingFace(json).spec())).isFalse();
        assertThatThrownBy(() -> Tokenizer.huggingFace(json, "<s>", "!", "!"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("no token \"<s>\"");

        Path config = directory.resolve("tokenizer_config.json");
        Files.writeString(config, "{\"bos_token\": null, \"eos_token\": {\"content\": \"$\"}, \"pad_token\": \"%\"}");
        Tokenizer configured = Tokenizer.huggingFace(json);
        assertThat(new int[] {configured.bosId(), configured.eosId(), configured.padId()})
                .containsExactly(4, 4, 5);
        Files.writeString(config, "{}");
        assertThatThrownBy(() -> Tokenizer.huggingFace(json))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("tokenizer_config.json, whose special tokens are [<|endoftext|>]");
        Files.writeString(config, "{");
        assertThatThrownBy(() -> Tokenizer.huggingFace(json))
                .hasMessageContaining("tokenizer_config.json: Not a valid JSON value");
        Files.delete(config);

        Files.writeString(json, Files.readString(json).replace("<|endoftext|>", "<stop>"));
        assertThatThrownBy(() -> Tokenizer.huggingFace(json))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("special tokens are [<stop>]: name it with");
        Files.writeString(json, Files.readString(json).replace("\"<stop>\"", "\"</s>\""));
        assertThat(Tokenizer.huggingFace(json).eosId()).isZero();
    }

    @ParameterizedTest
    @CsvSource({
        "sentencePiece, ai.djl.sentencepiece:sentencepiece, com.google.protobuf:protobuf-java",
        "huggingFace, ai.djl.huggingface:tokenizers, ai.djl.huggingface:tokenizers"
    })
    void aMissingLibraryIsNamed(String factory, String artifact, String another) throws Exception {
        String[] path = System.getProperty("java.class.path").split(File.pathSeparator);
        URL[] without = Arrays.stream(path)
                .filter(entry -> !entry.matches(".*(djl|protobuf).*"))
                .map(FileTokenizerTest::url)
                .toArray(URL[]::new);
        try (var loader = new URLClassLoader(without, ClassLoader.getPlatformClassLoader())) {
            var method = loader.loadClass(Tokenizer.class.getName()).getMethod(factory, Path.class);
            assertThatThrownBy(() -> method.invoke(
                            null, resource(factory.equals("huggingFace") ? "tokenizer.json" : "small.model")))
                    .isInstanceOf(InvocationTargetException.class)
                    .cause()
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("add " + versioned(artifact, path))
                    .hasMessageContaining(versioned(another, path));
        }
    }

    /** Returns an artifact's coordinates with the version that is on the class path. */
    private static String versioned(String artifact, String[] path) {
        String name = artifact.substring(artifact.indexOf(':') + 1);
        String jar = Arrays.stream(path)
                .map(entry -> Path.of(entry).getFileName().toString())
                .filter(file -> file.matches(name + "-\\d.*\\.jar"))
                .findFirst()
                .orElseThrow();
        return artifact + ":" + jar.substring(name.length() + 1, jar.length() - ".jar".length());
    }

    private static URL url(String entry) {
        try {
            return Path.of(entry).toUri().toURL();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static Tokenizer open(Path file) throws IOException {
        return file.toString().endsWith(".model") ? Tokenizer.sentencePiece(file) : Tokenizer.huggingFace(file);
    }

    private static Path resource(String name) {
        return Path.of(
                FileTokenizerTest.class.getResource("/tokenizers/" + name).getPath());
    }

    private interface Fields {
        void write(CodedOutputStream out) throws IOException;
    }

    /** Returns a model whose part has other values of some fields. */
    private static byte[] with(String name, int part, Fields fields) throws IOException {
        var inner = new ByteArrayOutputStream();
        var out = CodedOutputStream.newInstance(inner);
        fields.write(out);
        out.flush();
        var whole = new ByteArrayOutputStream();
        whole.write(Files.readAllBytes(resource(name)));
        out = CodedOutputStream.newInstance(whole);
        out.writeByteArray(part, inner.toByteArray());
        out.flush();
        return whole.toByteArray();
    }
}
