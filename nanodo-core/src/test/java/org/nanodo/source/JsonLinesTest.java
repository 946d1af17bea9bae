package org.nanodo.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nanodo.Documents;
import org.nanodo.data.PackedDataset;

class JsonLinesTest {
    @TempDir
    Path directory;

    @Test
    void theFieldOfEachLinePlainOrGzip() throws Exception {
        String lines =
                """
                {"url":"u","text":"one \\u00fc \\"q\\"\\n","n":{"text":"not this"}}

                {"text":"two 🙂"}\r
                  \t
                {"text":""}
                {"n":[{"text":1}],"text":"no end of line"}""";
        Path plain = Files.writeString(directory.resolve("a.jsonl"), lines);
        Path gzip = gzip("b.json.gz", lines.getBytes(StandardCharsets.UTF_8));
        byte[] both = Files.readAllBytes(gzip);
        Path members = directory.resolve("c.gz"); // as files are that were made by cat
        byte[] newLine = Files.readAllBytes(gzip("n.gz", new byte[] {'\n'}));
        Files.write(members, concat(both, newLine, both));
        List<String> texts = List.of("one ü \"q\"\n", "two 🙂", "", "no end of line");
        assertThat(texts(plain)).isEqualTo(texts);
        assertThat(texts(gzip)).isEqualTo(texts);
        assertThat(texts(members))
                .hasSize(8)
                .startsWith(texts.toArray(String[]::new))
                .endsWith(texts.toArray(String[]::new));
        assertThat(Documents.text(
                        TextSource.jsonLines(plain.toString(), "url").open(0).next()))
                .isEqualTo("u");
    }

    @Test
    @Tag("slow")
    void linesOfAnyLength() throws Exception {
        var random = new SplittableRandom(1);
        var json = new ObjectMapper();
        var texts = new java.util.ArrayList<String>();
        var lines = new StringBuilder();
        for (int length : new int[] {0, 1, 65_524, 65_525, 65_526, 65_536, 200_000, 3, 25_000_000}) {
            String text = "x".repeat(length - length / 2) + (char) random.nextInt('a', 'z') + "ü".repeat(length / 4);
            texts.add(text);
            lines.append(json.writeValueAsString(Map.of("text", text))).append('\n');
        }
        Path file = gzip("long.jsonl.gz", lines.toString().getBytes(StandardCharsets.UTF_8));
        assertThat(texts(file).equals(texts)).isTrue();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "plain words             | is not JSON: Unrecognized token 'plain'",
                "{\"text\":\"cut          | is not JSON: Unexpected end-of-input",
                "{\"text\":\"a\"          | is not JSON: Unexpected end-of-input",
                "{\"text\":\"a\"} {}      | has more than one JSON object",
                "[\"text\"]               | begins a JSON array",
                "\"text\"                 | is not a JSON object",
                "{\"texts\":\"a\",\"n\":1}| has no field \"text\", only texts, n",
                "{\"text\":17}            | field \"text\" is not a string but 17",
                "{\"text\":null}          | field \"text\" is not a string but null",
                "{\"text\":{\"a\":\"b\"}} | field \"text\" is not a string but {",
                "{\"text\":\"a~\"}        | is not UTF-8 in 1 places",
            })
    void aCorruptLineIsNamedOrSkipped(String line, String message) throws Exception {
        byte[] corrupt = line.getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < corrupt.length; i++) {
            corrupt[i] = corrupt[i] == '~' ? (byte) 0xFF : corrupt[i];
        }
        Path file = gzip(
                "some.jsonl.gz",
                concat("{\"text\":\"abc\"}\n\n".getBytes(), corrupt, "\n{\"text\":\"def\"}\n".getBytes()));
        TextSource source = TextSource.jsonLines(file.toString(), "text");
        assertThatThrownBy(() -> Documents.texts(source))
                .hasMessageContaining(file + " line 3")
                .hasMessageContaining(message);
        assertThat(Documents.texts(source.skipCorrupt())).containsExactly("abc", "", "def");

        PackedDataset data = PackedDataset.of(source).length(5).batch(1).epochs(2);
        try (var batches = data.iterator()) {
            assertThatThrownBy(batches::next)
                    .isInstanceOf(UncheckedIOException.class)
                    .hasMessageContaining("line 3")
                    .hasMessageContaining(message);
        }
        PackedDataset skipping =
                PackedDataset.of(source.skipCorrupt()).length(5).batch(1).epochs(2);
        try (var batches = skipping.iterator()) {
            for (int i = 0; i < 4; i++) {
                assertThat(batches.next().inputs_BxL()).containsExactly(Documents.ids(i % 2 == 0 ? "abc" : "def"));
            }
            assertThat(batches.hasNext()).isFalse();
        }
        assertThat(source.skipCorrupt().fingerprint())
                .as("a run that ended at the line goes on with it skipped")
                .isEqualTo(source.fingerprint());
    }

    @Test
    void overlongAndHalfCharactersAreNotUtf8() throws Exception {
        for (byte[] bad :
                List.of(bytes(0xC0, 0x80), bytes(0xED, 0xA0, 0x80), bytes(0xE2, 0x82), bytes(0xF5, 0x80, 0x80, 0x80))) {
            Path file = Files.write(directory.resolve("bad"), concat("{\"text\":\"".getBytes(), bad, "\"}".getBytes()));
            assertThatThrownBy(() -> texts(file)).hasMessageContaining("line 1 is not UTF-8");
        }
    }

    @Test
    void aTruncatedOrDamagedFileIsNamedEvenWhenCorruptLinesAreSkipped() throws Exception {
        var random = new SplittableRandom(5);
        var lines = new StringBuilder();
        for (int i = 0; i < 3000; i++) {
            lines.append("{\"text\":\"")
                    .append(Long.toHexString(random.nextLong()))
                    .append("\"}\n");
        }
        byte[] whole = Files.readAllBytes(gzip("whole.gz", lines.toString().getBytes()));
        Path cut = directory.resolve("cut.json.gz");
        for (int length : new int[] {2, 9, 11, whole.length / 2, whole.length - 9, whole.length - 1}) {
            Files.write(cut, Arrays.copyOf(whole, length));
            assertThatThrownBy(() -> Documents.texts(
                            TextSource.jsonLines(cut.toString(), "text").skipCorrupt()))
                    .as("cut to %d", length)
                    .hasMessageContaining(cut + " is truncated");
        }
        whole[whole.length / 2] ^= 0x55;
        Files.write(cut, whole);
        assertThatThrownBy(() -> Documents.texts(
                        TextSource.jsonLines(cut.toString(), "text").skipCorrupt()))
                .hasMessageContaining(cut + " is damaged after line");
        Files.write(cut, bytes(0x28, 0xB5, 0x2F, 0xFD, 0));
        assertThatThrownBy(() -> texts(cut)).hasMessageContaining("zstd, which is not supported");
    }

    @Test
    void patternsAndLists() throws Exception {
        for (String name : List.of("c4/b.json.gz", "c4/a.json.gz", "c4/deep/c.json.gz", "c4/a.txt", "c4/x[1].jsonl")) {
            Files.createDirectories(directory.resolve(name).getParent());
            Files.writeString(directory.resolve(name), "{\"text\":\"" + name + "\"}");
        }
        assertThat(found("c4/*.json.gz")).containsExactly("c4/a.json.gz", "c4/b.json.gz");
        assertThat(found("c4/**.json.gz")).containsExactly("c4/a.json.gz", "c4/b.json.gz", "c4/deep/c.json.gz");
        assertThat(found("*/{a,b}.json.gz")).containsExactly("c4/a.json.gz", "c4/b.json.gz");
        assertThat(found("c4/b.json.gz")).containsExactly("c4/b.json.gz");
        assertThat(found("c4/x[1].jsonl")).containsExactly("c4/x[1].jsonl");
        assertThat(found("c4/?.json.gz")).hasSize(2);
        Path a = directory.resolve("c4/a.json.gz");
        Path b = directory.resolve("c4/b.json.gz");
        assertThat(Documents.texts(TextSource.jsonLines(List.of(b, a), "text")))
                .containsExactly("c4/b.json.gz", "c4/a.json.gz");
        assertThat(Documents.texts(TextSource.jsonLines(directory + "/c4/*.json.gz", "text")
                        .matching(name -> name.endsWith("b.json.gz"))))
                .containsExactly("c4/b.json.gz");
        assertThatThrownBy(() -> found("c4/*.zip"))
                .isInstanceOf(NoSuchFileException.class)
                .hasMessageContaining("No file matches")
                .hasMessageContaining("c4/*.zip");
        assertThatThrownBy(() -> found("none/*.zip")).hasMessageContaining("No file matches");
        assertThatThrownBy(() -> found("c4/none.jsonl")).hasMessageContaining("none.jsonl does not exist");
        assertThatThrownBy(() -> found("c4")).hasMessageContaining("is a directory");
        assertThatThrownBy(() -> TextSource.jsonLines(List.of(), "text")).hasMessageContaining("No files");
        assertThatThrownBy(() -> TextSource.jsonLines(List.of(a, a), "text")).hasMessageContaining("named twice");
        assertThatThrownBy(() -> TextSource.jsonLines(List.of(a, b), "text").matching(name -> false))
                .hasMessageContaining("None of the 2 files");
    }

    @Test
    void theFingerprintIsThatOfTheFilesWhereverTheyAre() throws Exception {
        Path a = Files.writeString(
                Files.createDirectories(directory.resolve("1")).resolve("f"), "{\"text\":\"a\"}");
        Path moved = Files.writeString(
                Files.createDirectories(directory.resolve("2")).resolve("f"), "{\"text\":\"a\"}");
        Path other = Files.writeString(
                Files.createDirectories(directory.resolve("3")).resolve("f"), "{\"text\":\"b\"}");
        String print = TextSource.jsonLines(a.toString(), "text").fingerprint();
        assertThat(TextSource.jsonLines(moved.toString(), "text").fingerprint()).isEqualTo(print);
        assertThat(TextSource.jsonLines(other.toString(), "text").fingerprint()).isNotEqualTo(print);
        assertThat(TextSource.jsonLines(a.toString(), "url").fingerprint()).isNotEqualTo(print);
    }

    @Test
    void aSplitHasEveryDocumentOnOneSide() throws Exception {
        Path file = Files.writeString(
                directory.resolve("f"),
                String.join(
                        "\n",
                        IntStream.range(0, 2000)
                                .mapToObj(i -> "{\"text\":\"" + i + "\"}")
                                .toList()));
        TextSource all = TextSource.jsonLines(file.toString(), "text");
        TextSource.Split split = all.split(0.1, 3);
        List<String> validation = Documents.texts(split.validation());
        List<String> train = Documents.texts(split.train());
        assertThat(validation).hasSizeBetween(150, 250).doesNotContainAnyElementsOf(train);
        assertThat(train).hasSize(2000 - validation.size()).contains("0", "1999");
        assertThat(Documents.texts(all.split(0.1, 3).validation())).isEqualTo(validation);
        assertThat(Documents.texts(all.split(0.1, 4).validation())).isNotEqualTo(validation);
        assertThat(split.train().fingerprint()).isNotEqualTo(split.validation().fingerprint());
        assertThat(Documents.texts(all.skipCorrupt().split(0.1, 3).validation()))
                .isEqualTo(validation);
        assertThatThrownBy(() -> all.split(1, 3)).hasMessageContaining("between 0 and 1");
    }

    private List<String> found(String pattern) throws IOException {
        return Documents.texts(TextSource.jsonLines(directory + "/" + pattern, "text"));
    }

    private static List<String> texts(Path file) throws IOException {
        return Documents.texts(TextSource.jsonLines(file.toString(), "text"));
    }

    private Path gzip(String name, byte[] content) throws IOException {
        return Documents.gzip(directory.resolve(name), content);
    }

    private static byte[] concat(byte[]... parts) {
        var all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    private static byte[] bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return bytes;
    }
}
