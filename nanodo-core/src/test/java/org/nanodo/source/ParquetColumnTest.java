package org.nanodo.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.jerolba.carpet.CarpetWriter;
import com.jerolba.carpet.io.FileSystemOutputFile;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.api.Binary;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nanodo.Documents;
import org.nanodo.TestJvm;
import org.nanodo.data.PackedDataset;

class ParquetColumnTest {
    @TempDir
    Path directory;

    /** As FineWeb's rows. */
    record Row(String text, String id, int token_count, List<String> tags) {}

    record Raw(Binary text) {}

    @ParameterizedTest
    @EnumSource(
            value = CompressionCodecName.class,
            names = {"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4_RAW"})
    void theColumnOfEachRow(CompressionCodecName codec) throws Exception {
        List<String> texts = texts(5000);
        Path file = write("a.parquet", codec, 1 << 16, texts);
        assertThat(Documents.texts(TextSource.parquet(file.toString(), "text"))).isEqualTo(texts);
        assertThat(Documents.texts(TextSource.parquet(file.toString(), "id")))
                .hasSize(5000)
                .endsWith("id 4998", "id 4999");
    }

    @Test
    void asADataset() throws Exception {
        write("1.parquet", CompressionCodecName.SNAPPY, 1 << 14, texts(700));
        write("2.parquet", CompressionCodecName.ZSTD, 1 << 14, texts(1));
        write("3.parquet", CompressionCodecName.ZSTD, 1 << 14, texts(1300));
        TextSource source = TextSource.parquet(directory + "/*.parquet", "text");
        Documents.checkSeek(PackedDataset.of(source).length(64).batch(8).shuffle(1), 4);
        Documents.checkSeek(PackedDataset.of(source).length(1 << 12).batch(128), 3);
    }

    @Test
    void corruptRowsAreNamedOrSkipped() throws Exception {
        Path nulls = write("null.parquet", CompressionCodecName.SNAPPY, 1 << 16, Arrays.asList("a", null, "b"));
        assertThatThrownBy(() -> texts(nulls)).hasMessage(nulls + " row 2 has no \"text\": it is null");
        assertThat(Documents.texts(TextSource.parquet(nulls.toString(), "text").skipCorrupt()))
                .containsExactly("a", "", "b");
        Path bytes = directory.resolve("raw.parquet");
        try (var writer = new CarpetWriter<>(new FileSystemOutputFile(bytes.toFile()), Raw.class)) {
            writer.write(new Raw(Binary.fromString("good")));
            writer.write(new Raw(Binary.fromConstantByteArray(new byte[] {'a', (byte) 0xFF})));
        }
        assertThatThrownBy(() -> texts(bytes)).hasMessage(bytes + " row 2 is not UTF-8 in 1 places");
    }

    @Test
    void anotherSchemaIsNamed() throws Exception {
        Path file = write("a.parquet", CompressionCodecName.SNAPPY, 1 << 16, List.of("a"));
        assertThatThrownBy(() -> column(file, "body"))
                .hasMessage(file + " has no column \"body\", only text, id, token_count, tags");
        assertThatThrownBy(() -> column(file, "token_count"))
                .hasMessageContaining("is not text but")
                .hasMessageContaining("int32");
        assertThatThrownBy(() -> column(file, "tags")).hasMessageContaining("is not text but");
    }

    @Test
    void aTruncatedOrDamagedFileIsNamed() throws Exception {
        List<String> texts = texts(3000);
        byte[] whole = Files.readAllBytes(write("whole.parquet", CompressionCodecName.ZSTD, 1 << 14, texts));
        Path bad = directory.resolve("bad.parquet");
        for (int length : new int[] {1, 8, 11, 12, whole.length / 2, whole.length - 1}) {
            Files.write(bad, Arrays.copyOf(whole, length));
            assertThatThrownBy(() -> texts(bad))
                    .as("cut to %d", length)
                    .hasMessageContaining(bad + " is truncated or damaged");
        }
        var random = new SplittableRandom(7);
        int named = 0;
        for (int i = 0; i < 60; i++) {
            byte[] damaged = whole.clone();
            for (int j = 0; j < 20; j++) {
                damaged[random.nextInt(damaged.length)] = (byte) random.nextInt();
            }
            Files.write(bad, damaged);
            try {
                texts(bad);
            } catch (IOException e) {
                throw e;
            } catch (java.io.UncheckedIOException e) {
                assertThat(e).hasMessageContaining(bad.toString());
                named++;
            }
        }
        assertThat(named).isGreaterThan(40);
        Files.writeString(bad, "no Parquet at all, but long enough");
        assertThatThrownBy(() -> texts(bad))
                .hasMessageContaining(bad + " is truncated or damaged, or not a Parquet file");
    }

    @ParameterizedTest
    @EnumSource(
            value = CompressionCodecName.class,
            names = {"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4_RAW"})
    @Tag("slow")
    void aFlippedBitNeverChangesATextSilently(CompressionCodecName codec) throws Exception {
        List<String> texts = texts(900);
        Path file = write("flipped.parquet", codec, 1 << 14, texts);
        byte[] whole = Files.readAllBytes(file);
        var random = new SplittableRandom(11);
        int refused = 0;
        for (int i = 0; i < 150; i++) {
            byte[] flipped = whole.clone();
            flipped[4 + random.nextInt(whole.length - 4)] ^= (byte) (1 << random.nextInt(8));
            Files.write(file, flipped);
            List<String> read;
            try {
                read = texts(file);
            } catch (IOException | java.io.UncheckedIOException e) {
                assertThat(e).hasMessageContaining(file.toString());
                refused++;
                continue;
            }
            assertThat(read).as("flip %d", i).isEqualTo(texts);
        }
        assertThat(refused).isGreaterThan(20);
    }

    @Test
    @Tag("slow")
    void aFileWithoutChecksumsIsNamedOnce() throws Exception {
        for (String name : List.of("1.parquet", "2.parquet")) {
            try (var writer = new CarpetWriter.Builder<>(
                            new FileSystemOutputFile(directory.resolve(name).toFile()), Raw.class)
                    .withPageWriteChecksumEnabled(false)
                    .build()) {
                writer.write(new Raw(Binary.fromString("text")));
            }
        }
        String output = TestJvm.run(ParquetColumnTest.class.getName(), directory + "/*.parquet");
        assertThat(output).contains("[text, text, text, text]").containsOnlyOnce("without checksums");
        assertThat(output).contains("1.parquet has pages without checksums");
    }

    /** In a JVM of its own, whose output is the log. Reads everything twice. */
    public static void main(String... args) throws IOException {
        TextSource source = TextSource.parquet(args[0], "text");
        List<String> twice = new ArrayList<>(Documents.texts(source));
        twice.addAll(Documents.texts(source));
        System.out.println(twice);
    }

    @Test
    void withoutTheLibraryTheArtifactIsNamed() throws Exception {
        URL[] own = Arrays.stream(System.getProperty("java.class.path").split(java.io.File.pathSeparator))
                .filter(entry -> entry.contains("classes") || entry.contains("slf4j-api"))
                .map(entry -> {
                    try {
                        return Path.of(entry).toUri().toURL();
                    } catch (IOException e) {
                        throw new AssertionError(e);
                    }
                })
                .toArray(URL[]::new);
        try (var loader = new URLClassLoader(own, ClassLoader.getPlatformClassLoader())) {
            var parquet = loader.loadClass(TextSource.class.getName()).getMethod("parquet", List.class, String.class);
            assertThatThrownBy(() -> parquet.invoke(null, List.of(directory.resolve("a")), "text"))
                    .isInstanceOf(InvocationTargetException.class)
                    .cause()
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("com.jerolba:carpet-record");
        }
    }

    private static List<String> texts(Path file) throws IOException {
        return column(file, "text");
    }

    private static List<String> column(Path file, String column) throws IOException {
        return Documents.texts(TextSource.parquet(file.toString(), column));
    }

    private static List<String> texts(int count) {
        return IntStream.range(0, count)
                .mapToObj(i -> ("Zeile ü🙂 " + i).repeat(i % 9))
                .toList();
    }

    private Path write(String name, CompressionCodecName codec, long rowGroup, List<String> texts) throws IOException {
        Path file = directory.resolve(name);
        try (var writer = new CarpetWriter.Builder<>(new FileSystemOutputFile(file.toFile()), Row.class)
                .withCompressionCodec(codec)
                .withRowGroupSize(rowGroup)
                .build()) {
            for (int i = 0; i < texts.size(); i++) {
                writer.write(new Row(texts.get(i), "id " + i, i, List.of("a")));
            }
        }
        return file;
    }
}
