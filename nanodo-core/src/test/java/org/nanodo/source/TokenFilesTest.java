package org.nanodo.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.data.Batch;
import org.nanodo.data.PackedDataset;
import org.nanodo.data.Position;
import org.nanodo.tokenizer.Tokenizer;

class TokenFilesTest {
    /** BOS and EOS are 50256. */
    private static final Tokenizer GPT2 = Tokenizer.gpt2();

    private static final int END = 50_256;

    @TempDir
    Path directory;

    @Test
    void tokensArePackedAsTheyAre() throws Exception {
        Path file = nanoGpt("train.bin", 1, 2, 3, END, 4, 5, END, 50_000, 7);
        for (TokenFiles source :
                List.of(TokenSource.nanoGpt(file), TokenSource.nanoGpt(file).sections(2))) {
            try (var batches = PackedDataset.of(source)
                    .tokenizer(GPT2)
                    .length(4)
                    .batch(1)
                    .epochs(1)
                    .iterator()) {
                assertThat(batches.next().inputs_BxL()).containsExactly(1, 2, 3, END);
                Batch batch = batches.next();
                assertThat(batch.inputs_BxL()).containsExactly(4, 5, END, 50_000);
                assertThat(batch.targets_BxL()).containsExactly(5, END, 50_000, 0);
                assertThat(batches.next().inputs_BxL()).containsExactly(7, END, END, END);
                assertThat(batches.hasNext()).isFalse();
            }
        }
    }

    @Test
    void aSectionBeginsAtTheFirstEosAfterItsShare() throws Exception {
        TokenFiles source = TokenSource.nanoGpt(nanoGpt("f", 1, END, 2, 3, 4, END, 5, 6, 7, 8, 9, 10, 11, END))
                .sections(3);
        assertThat(source.size()).isEqualTo(5);
        assertThat(sections(source))
                .containsExactly(
                        List.of(1, END, 2, 3, 4), // up to the EOS in the share of 3, 4, EOS
                        List.of(END), // no EOS in the next share: it begins where that does
                        List.of(5, 6, 7),
                        List.of(8, 9, 10, 11),
                        List.of(END));
        assertThat(source.name(4)).endsWith("f section 5");
    }

    @Test
    void sectionsTogetherAreTheFiles() throws Exception {
        var random = new Random(1);
        for (int i = 0; i < 200; i++) {
            int[] one = random.ints(1 + random.nextInt(40), 0, 5)
                    .map(id -> id == 0 ? END : id)
                    .toArray();
            int[] two = random.ints(1 + random.nextInt(40), 0, 3)
                    .map(id -> id == 0 ? END : id)
                    .toArray();
            TokenFiles source =
                    TokenSource.llmC(llmC("one", one), llmC("two", two)).sections(2 + random.nextInt(12));
            assertThat(source.tokens()).isEqualTo(one.length + two.length);
            List<List<Integer>> sections = sections(source);
            assertThat(sections).doesNotContain(List.of());
            assertThat(sections.stream().flatMap(List::stream))
                    .containsExactlyElementsOf(IntStream.concat(Arrays.stream(one), Arrays.stream(two))
                            .boxed()
                            .toList());
        }
    }

    @Test
    void anEpochHasEveryTokenOnceAndSeekGoesOnExactly() throws Exception {
        int[] tokens = new Random(2)
                .ints(5_000, 0, 1_000)
                .map(id -> id < 10 ? END : id)
                .toArray();
        PackedDataset dataset = PackedDataset.of(
                        TokenSource.nanoGpt(nanoGpt("f", tokens)).sections(64))
                .tokenizer(GPT2)
                .length(50)
                .batch(4)
                .epochs(1)
                .shuffle(7);
        var seen = new ArrayList<Integer>();
        var positions = new ArrayList<Position>();
        var rows = new ArrayList<int[]>();
        try (var batches = dataset.iterator()) {
            while (batches.hasNext()) {
                positions.add(batches.position());
                rows.add(batches.next().inputs_BxL());
                Arrays.stream(rows.get(rows.size() - 1)).forEach(seen::add);
            }
        }
        assertThat(seen).isNotEqualTo(Arrays.stream(tokens).boxed().toList());
        assertThat(seen)
                .containsExactlyInAnyOrderElementsOf(
                        Arrays.stream(tokens).boxed().toList());
        try (var batches = dataset.iterator()) {
            for (int i : new int[] {17, 3, 24, 0}) {
                batches.seek(positions.get(i));
                assertThat(batches.next().inputs_BxL()).isEqualTo(rows.get(i));
            }
        }
    }

    @Test
    void aFileBeyondTwoGigabytes() throws Exception {
        Path file = directory.resolve("large.bin");
        long tokens = 1_200_000_000;
        try (var large = new RandomAccessFile(file.toFile(), "rw")) {
            large.setLength(2 * tokens); // a hole: nothing is written
            large.seek(2 * tokens - 4);
            large.write(new byte[] {1, 0, 2, 0});
        }
        TokenFiles source = TokenSource.nanoGpt(file);
        assertThat(source.tokens()).isEqualTo(tokens);
        assertThat(source.ids(source.size() - 1, GPT2)).endsWith(0, 1, 2);
        assertThat(source.fingerprint()).isEqualTo(TokenSource.nanoGpt(file).fingerprint());
    }

    @Test
    void corporaAreToldApart() throws Exception {
        Path one = nanoGpt("one", 1, 2, 3, 4);
        Path two = nanoGpt("two", 1, 2, 3, 5);
        Path three = nanoGpt("three", 1, 2, 3, 4, 4);
        String fingerprint = TokenSource.nanoGpt(one).fingerprint();
        assertThat(TokenSource.nanoGpt(nanoGpt("same", 1, 2, 3, 4)).fingerprint())
                .isEqualTo(fingerprint);
        assertThat(List.of(
                        TokenSource.nanoGpt(two).fingerprint(),
                        TokenSource.nanoGpt(three).fingerprint(),
                        TokenSource.nanoGpt(one, two).fingerprint(),
                        TokenSource.nanoGpt(two, one).fingerprint(),
                        TokenSource.nanoGpt(one).sections(2).fingerprint()))
                .doesNotContain(fingerprint)
                .doesNotHaveDuplicates();
    }

    @Test
    void aTokenBeyondTheVocabularyIsNamed() throws Exception {
        Path file = nanoGpt("f", 1, 2, 3, 300, 5);
        TokenFiles source = TokenSource.nanoGpt(file).sections(2);
        String message = "Token 3 of " + file + " is 300, but the tokenizer's largest id is 258";
        assertThatThrownBy(() -> source.ids(1, Tokenizer.bytes()))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(message);
        try (var batches = PackedDataset.of(source).length(2).batch(1).iterator()) {
            assertThatThrownBy(batches::next).hasMessageContaining(message);
        }
    }

    @Test
    void aFileOfAnotherFormatIsNamed() throws Exception {
        Path file = directory.resolve("f");
        assertThatThrownBy(() -> TokenSource.nanoGpt(file))
                .isInstanceOf(NoSuchFileException.class)
                .hasMessageContaining("f does not exist");
        assertThatThrownBy(() -> TokenSource.nanoGpt(directory)).hasMessageContaining(directory + " is not a file");
        assertThatThrownBy(() -> TokenSource.nanoGpt()).hasMessageContaining("No file");
        Files.write(file, new byte[0]);
        assertThatThrownBy(() -> TokenSource.nanoGpt(file)).hasMessageContaining("f is 0 bytes");
        assertThatThrownBy(() -> TokenSource.llmC(file)).hasMessageContaining("f is 0 bytes");
        Files.write(file, new byte[3]);
        assertThatThrownBy(() -> TokenSource.nanoGpt(file))
                .hasMessageContaining("3 bytes, which is not a whole number");
        Files.write(file, new byte[2_000]);
        assertThatThrownBy(() -> TokenSource.llmC(file))
                .hasMessageContaining("begins with 0, version 0")
                .hasMessageContaining("20240520, version 1");

        Path header = llmC("header", 1, 2, 3);
        assertThatThrownBy(() -> TokenSource.nanoGpt(header)).hasMessageContaining("use TokenSource.llmC");
        byte[] bytes = Files.readAllBytes(header);
        for (int length : new int[] {bytes.length - 1, bytes.length - 2, bytes.length + 2}) {
            Files.write(file, Arrays.copyOf(bytes, length));
            assertThatThrownBy(() -> TokenSource.llmC(file))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining(
                            "f is " + length + " bytes, but by its header it holds 3 tokens, which take 1030");
        }
        for (int tokens : new int[] {0, -1, Integer.MAX_VALUE}) {
            Files.write(
                    file,
                    ByteBuffer.wrap(bytes)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .putInt(8, tokens)
                            .array());
            assertThatThrownBy(() -> TokenSource.llmC(file)).hasMessageContaining("holds " + tokens + " tokens");
        }
        assertThatThrownBy(() -> TokenSource.llmC(header).sections(1)).hasMessageContaining("Sections of 1 tokens");
    }

    @Test
    void aFileThatBecomesShorterIsNamed() throws Exception {
        Path file = nanoGpt("f", 1, 2, 3, 4);
        TokenFiles source = TokenSource.nanoGpt(file);
        Files.write(file, new byte[2]);
        try (var batches =
                PackedDataset.of(source).tokenizer(GPT2).length(2).batch(1).iterator()) {
            assertThatThrownBy(batches::next).hasMessageContaining("f has become shorter since it was opened");
        }
    }

    private static List<List<Integer>> sections(TokenFiles source) throws IOException {
        var sections = new ArrayList<List<Integer>>();
        for (int i = 0; i < source.size(); i++) {
            sections.add(Arrays.stream(source.ids(i, GPT2)).boxed().toList());
        }
        return sections;
    }

    private Path nanoGpt(String name, int... tokens) throws IOException {
        var bytes = ByteBuffer.allocate(2 * tokens.length).order(ByteOrder.LITTLE_ENDIAN);
        Arrays.stream(tokens).forEach(token -> bytes.putShort((short) token));
        return Files.write(directory.resolve(name), bytes.array());
    }

    private Path llmC(String name, int... tokens) throws IOException {
        var bytes = ByteBuffer.allocate(1024 + 2 * tokens.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putInt(20240520).putInt(1).putInt(tokens.length).position(1024);
        Arrays.stream(tokens).forEach(token -> bytes.putShort((short) token));
        return Files.write(directory.resolve(name), bytes.array());
    }
}
