package org.nanodo.data;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.Deflater;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TestJvm;
import org.nanodo.source.TextSource;

/** Inputs that are far larger than memory, read by a JVM of 64 MiB: one error each, which names the file, the bound and the way out. */
@Tag("slow")
class LargeInputTest {
    private static final int MB = 1_000_000;

    @TempDir
    Path directory;

    @Test
    void aDocumentOfThreeGigabytes() throws Exception {
        Path file = sparse("large.txt", 3_000L * MB);
        assertThat(read("files", file))
                .contains("UncheckedIOException: Could not read " + file)
                .contains("longer than the 1073741824 bytes that a document may have")
                .contains("TextSource.sections");
    }

    @Test
    void aDocumentLargerThanTheHeap() throws Exception {
        Path file = sparse("large.txt", 100L * MB);
        assertThat(read("files", file))
                .contains("UncheckedIOException: Could not read " + file)
                .contains("does not fit into the 61 MiB of memory")
                .contains("raise -Xmx");
    }

    @Test
    void anArchiveThatUnpacksToFarMore() throws Exception {
        Path zip = directory.resolve("bomb.zip");
        try (var out = new ZipOutputStream(Files.newOutputStream(zip))) {
            out.setLevel(Deflater.BEST_SPEED);
            out.putNextEntry(new ZipEntry("entry"));
            repeat(out, "a", 150);
        }
        assertThat(read("archive", zip))
                .contains("Could not read bomb.zip!/entry")
                .contains("memory")
                .contains("raise -Xmx");
    }

    @Test
    void aLineOfTwoHundredMegabytes() throws Exception {
        Path file = directory.resolve("lines.jsonl.gz");
        try (var out = new GZIPOutputStream(Files.newOutputStream(file))) {
            out.write("{\"text\":\"short\"}\n{\"text\":\"".getBytes(StandardCharsets.UTF_8));
            repeat(out, "b", 200);
        }
        String output = read("json", file);
        assertThat(output).contains(file + " line 2").containsAnyOf("raise -Xmx", "is longer than 134217728 bytes");
    }

    @Test
    void hugeLinesAfterSmallOnesAreNotAllReadAhead() throws Exception {
        Path file = directory.resolve("grows.jsonl");
        try (var out = Files.newOutputStream(file)) {
            for (int i = 0; i < 2_000; i++) {
                out.write("{\"text\":\"a\"}\n".getBytes(StandardCharsets.UTF_8));
            }
            byte[] large =
                    ("{\"text\":\"a\",\"url\":\"" + "u".repeat(2 * MB) + "\"}\n").getBytes(StandardCharsets.UTF_8);
            for (int i = 0; i < 200; i++) {
                out.write(large);
            }
        }
        assertThat(TestJvm.run("-Xmx256m", LargeInputTest.class.getName(), "json", file.toString()))
                .contains("6600 tokens");
    }

    /** In the small JVM: reads all documents of a source once. */
    public static void main(String... args) throws IOException {
        Path file = Path.of(args[1]);
        TextSource source =
                switch (args[0]) {
                    case "files" -> TextSource.files(file);
                    case "archive" -> TextSource.archive(file);
                    default -> TextSource.jsonLines(file.toString(), "text");
                };
        double tokens = 0;
        try (var batches = PackedDataset.of(source).length(8).batch(2).epochs(1).iterator()) {
            while (batches.hasNext()) {
                batches.next();
            }
            tokens = batches.textSize().targets();
        }
        System.out.println((long) tokens + " tokens");
    }

    private static String read(String kind, Path file) throws Exception {
        return TestJvm.run("-Xmx64m", "-XX:+UseSerialGC", LargeInputTest.class.getName(), kind, file.toString());
    }

    private static void repeat(OutputStream out, String text, int megabytes) throws IOException {
        byte[] million = text.repeat(MB).getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < megabytes; i++) {
            out.write(million);
        }
    }

    private Path sparse(String name, long bytes) throws IOException {
        Path file = directory.resolve(name);
        try (var hole = new RandomAccessFile(file.toFile(), "rw")) {
            hole.setLength(bytes);
        }
        return file;
    }
}
