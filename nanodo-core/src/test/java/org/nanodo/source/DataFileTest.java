package org.nanodo.source;

import static org.assertj.core.api.Assertions.assertThat;

import com.jerolba.carpet.CarpetWriter;
import com.jerolba.carpet.io.FileSystemOutputFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.data.Mixture;

class DataFileTest {
    @TempDir
    Path directory;

    @Test
    void everySourceTellsItsFiles() throws Exception {
        Path text = write("text", "one\ntwo\n");
        Path json = write("a.jsonl", "{\"text\":\"a\"}");
        Path tokens = write("tokens.bin", "abcd");
        Path zip = directory.resolve("a.zip");
        try (var out = new ZipOutputStream(Files.newOutputStream(zip))) {
            out.putNextEntry(new ZipEntry("entry"));
            out.write(1);
        }
        Path parquet = directory.resolve("a.parquet");
        try (var writer = new CarpetWriter<>(new FileSystemOutputFile(parquet.toFile()), ParquetColumnTest.Raw.class)) {
            writer.write(new ParquetColumnTest.Raw(org.apache.parquet.io.api.Binary.fromString("a")));
        }
        List<Path> files = List.of(text, json, tokens, zip, parquet);
        for (Path file : files) {
            Files.setLastModifiedTime(file, FileTime.fromMillis(1_000));
        }
        DataFile aText = new DataFile("text", 8, 1_000);
        assertThat(TextSource.lines(text).files()).containsExactly(aText);
        assertThat(TextSource.sections(text, 2).files()).containsExactly(aText);
        assertThat(TextSource.files(text).files()).containsExactly(aText);
        assertThat(TextSource.of("text").files()).isEmpty();
        assertThat(TextSource.jsonLines(json.toString(), "text").files())
                .containsExactly(new DataFile("a.jsonl", 12, 1_000));
        assertThat(TextSource.parquet(parquet.toString(), "text").files())
                .containsExactly(new DataFile("a.parquet", Files.size(parquet), 1_000));
        assertThat(TokenSource.nanoGpt(tokens).files()).containsExactly(new DataFile("tokens.bin", 4, 1_000));
        assertThat(TextSource.archive(zip).files()).containsExactly(new DataFile("a.zip", Files.size(zip), 1_000));
        for (TextSource source : List.of(TextSource.lines(text), TextSource.jsonLines(json.toString(), "text"))) {
            List<DataFile> whole = source.files();
            assertThat(source.matching(name -> true).files()).isEqualTo(whole);
            assertThat(source.skipCorrupt().files()).isEqualTo(whole);
            assertThat(source.split(0.5, 1).train().files()).isEqualTo(whole);
            assertThat(source.split(0.5, 1).validation().files()).isEqualTo(whole);
        }
    }

    @Test
    void anEditShowsAndAMoveDoesNot() throws Exception {
        Path corpus = Files.createDirectories(directory.resolve("corpus/below"));
        Path edited = Files.writeString(corpus.resolve("b"), "before");
        Files.writeString(corpus.resolveSibling("a"), "a");
        Files.setLastModifiedTime(edited, FileTime.fromMillis(5_000));
        List<DataFile> before = TextSource.files(corpus.getParent()).files();
        assertThat(before).extracting(DataFile::name).containsExactly("a", "below/b");

        Path moved = Files.move(corpus.getParent(), directory.resolve("moved"));
        assertThat(TextSource.files(moved).files()).isEqualTo(before);

        Path there = Files.writeString(moved.resolve("below/b"), "edited");
        Files.setLastModifiedTime(there, FileTime.fromMillis(5_001));
        assertThat(TextSource.files(moved).files()).isNotEqualTo(before).hasSize(2);
        Files.writeString(there, "longer than before");
        Files.setLastModifiedTime(there, FileTime.fromMillis(5_000));
        assertThat(TextSource.files(moved).files()).isNotEqualTo(before);
    }

    @Test
    void ofVeryManyFilesADigestIsKept() throws Exception {
        DataFile[] last = {new DataFile("last", 1, 1)};
        DocumentSource many = new IndexedTextSource() {
            @Override
            public int size() {
                return 1;
            }

            @Override
            public String name(int index) {
                return "text";
            }

            @Override
            public Document read(int index) {
                return new Document("text", "text", 0);
            }

            @Override
            public List<DataFile> files() {
                var files = new ArrayList<DataFile>();
                IntStream.range(0, 10_000).forEach(i -> files.add(new DataFile("" + i, 2, 3)));
                files.add(last[0]);
                return files;
            }
        };
        List<DataFile> files = Mixture.of(many, 1).files();
        assertThat(files).hasSize(1);
        assertThat(files.get(0).name()).isEqualTo("one of 10001 files (whose time is a digest of theirs)");
        assertThat(files.get(0).bytes()).isEqualTo(20_001);
        assertThat(Mixture.of(many, 1).files()).isEqualTo(files);
        last[0] = new DataFile("last", 1, 2);
        assertThat(Mixture.of(many, 1).files()).isNotEqualTo(files);
        assertThat(Mixture.of(TextSource.of("a"), 1).and(many, 1).files()).hasSize(1);
    }

    private Path write(String name, String content) throws IOException {
        return Files.writeString(directory.resolve(name), content);
    }
}
