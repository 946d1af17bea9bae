package org.nanodo.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import com.google.protobuf.CodedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.TestJvm;

/** Opens files that could crash native code in a separate JVM, which must survive. */
class HostileTokenizerTest {
    private static final int FILES = 300;

    @TempDir
    static Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"json", "model"})
    @Tag("slow")
    void damagedFilesDoNotEndTheProcess(String kind) throws Exception {
        String output = TestJvm.run(
                "-XX:-CreateCoredumpOnCrash",
                "-XX:ErrorFile=" + directory.resolve("hs_err"),
                HostileTokenizerTest.class.getName(),
                kind,
                directory.toString());
        assertThat(output).contains("all " + FILES + " opened or refused");
    }

    @Test
    void theCharacterMapIsUsed() throws Exception {
        Path file = Files.write(directory.resolve("mapped.model"), model());
        Tokenizer tokenizer = Tokenizer.sentencePiece(file);
        assertThat(tokenizer.encode("aé")).isEqualTo(tokenizer.encode("model"));
        assertThatCode(() -> Tokenizer.huggingFace(Files.write(directory.resolve("mapped.json"), json())))
                .doesNotThrowAnyException();
    }

    /** Runs in the separate JVM. */
    public static void main(String... args) throws Exception {
        boolean isJson = args[0].equals("json");
        Path file = Path.of(args[1]).resolve("damaged." + args[0]);
        byte[] sound = isJson ? json() : model();
        int map = isJson ? 0 : sound.length - CharacterMaps.of("aé", "model").length;
        var random = new Random(3);
        for (int i = 0; i < FILES; i++) {
            boolean inMap = !isJson && random.nextBoolean();
            Files.write(file, inMap ? withOtherUnit(sound, map, random) : damaged(sound, random));
            try {
                Tokenizer tokenizer = isJson ? Tokenizer.huggingFace(file) : Tokenizer.sentencePiece(file);
                for (String text : new String[] {"aéaé model", "a\u0000 Größe 🙂", "é".repeat(100)}) {
                    tokenizer.decode(tokenizer.encode(text));
                }
            } catch (IllegalArgumentException e) {
                if (!e.getMessage().contains(file.toString())) {
                    throw e;
                }
            }
        }
        System.out.println("all " + FILES + " opened or refused");
    }

    private static byte[] damaged(byte[] sound, Random random) {
        byte[] bytes = sound.clone();
        switch (random.nextInt(4)) {
            case 0 -> bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length));
            case 1 -> System.arraycopy(sound, bytes.length / 3, bytes, random.nextInt(bytes.length / 2), 100);
            default -> {
                for (int flips = 1 + random.nextInt(3); flips > 0; flips--) {
                    int at = random.nextInt(random.nextBoolean() ? bytes.length : 700);
                    bytes[at] ^= (byte) (1 << random.nextInt(8));
                }
            }
        }
        return bytes;
    }

    /** Flips two bits in a unit of the character map that is not 0. */
    private static byte[] withOtherUnit(byte[] sound, int map, Random random) {
        var bytes = ByteBuffer.wrap(sound.clone()).order(ByteOrder.LITTLE_ENDIAN);
        int at = map + 4;
        while (bytes.getInt(at) == 0 || random.nextInt(4) > 0) {
            at = at + 8 > sound.length ? map + 4 : at + 4;
        }
        return bytes.putInt(at, bytes.getInt(at) ^ 1 << random.nextInt(32) ^ 1 << random.nextInt(32))
                .array();
    }

    /** Returns a file that begins with the components that the library parses by code of its own. */
    private static byte[] json() throws IOException {
        String map = Base64.getEncoder().encodeToString(CharacterMaps.of("é", "e"));
        String plain = Files.readString(resource("tokenizer.json"));
        String decoder = plain.substring(plain.indexOf("\"decoder\""), plain.indexOf("\"model\""));
        return ("{" + decoder
                        + plain.substring(1)
                                .replace(decoder, "")
                                .replace(
                                        "\"normalizer\":null",
                                        "\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"" + map
                                                + "\"}"))
                .getBytes(StandardCharsets.UTF_8);
    }

    /** Returns the small model with a map from {@code aé} to {@code model} at its end. */
    private static byte[] model() throws IOException {
        var normalizer = new ByteArrayOutputStream();
        var out = CodedOutputStream.newInstance(normalizer);
        out.writeByteArray(2, CharacterMaps.of("aé", "model"));
        out.flush();
        var model = new ByteArrayOutputStream();
        model.write(Files.readAllBytes(resource("small.model")));
        out = CodedOutputStream.newInstance(model);
        out.writeByteArray(3, normalizer.toByteArray());
        out.flush();
        return model.toByteArray();
    }

    private static Path resource(String name) {
        return Path.of(
                HostileTokenizerTest.class.getResource("/tokenizers/" + name).getPath());
    }
}
