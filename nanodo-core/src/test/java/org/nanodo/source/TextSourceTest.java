package org.nanodo.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.nanodo.Documents.texts;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.files.Failures;

class TextSourceTest {
    @TempDir
    Path directory;

    @Test
    void filesAndFolders() throws Exception {
        Files.createDirectories(directory.resolve("sub/.git"));
        Files.writeString(directory.resolve("b.txt"), "b");
        Files.writeString(directory.resolve("a.java"), "a");
        Files.writeString(directory.resolve("sub/c.txt"), "c");
        Files.writeString(directory.resolve("empty.txt"), "");
        Files.writeString(directory.resolve(".hidden"), "h");
        Files.writeString(directory.resolve("sub/.git/config"), "g");
        assertThat(texts(TextSource.files(directory))).containsExactly("a", "b", "c");
        assertThat(texts(TextSource.files(directory.resolve("b.txt"), directory.resolve("sub"))))
                .containsExactly("b", "c");
        assertThat(texts(TextSource.files(directory).matching(name -> name.endsWith(".txt"))))
                .containsExactly("b", "c");
    }

    @Test
    void archives() throws Exception {
        Path jar = directory.resolve("some.jar");
        try (var zip = new ZipOutputStream(Files.newOutputStream(jar))) {
            for (String name : List.of("org/B.java", "org/A.java", "empty")) {
                zip.putNextEntry(new ZipEntry(name));
                zip.write(name.equals("empty") ? new byte[0] : name.getBytes(StandardCharsets.UTF_8));
            }
            zip.putNextEntry(new ZipEntry("folder/"));
        }
        TextSource source = TextSource.archive(jar);
        assertThat(texts(source)).containsExactly("org/A.java", "org/B.java");
        assertThat(source.name(0)).isEqualTo("some.jar!/org/A.java");
    }

    @Test
    void aFlippedBitInAnArchiveNeverChangesATextSilently() throws Exception {
        Path jar = directory.resolve("some.jar");
        var text = new StringBuilder();
        new Random(1).ints(2_000, 'a', 'z').forEach(c -> text.append((char) c));
        try (var zip = new ZipOutputStream(Files.newOutputStream(jar))) {
            zip.putNextEntry(new ZipEntry("entry"));
            zip.write(text.toString().getBytes(StandardCharsets.UTF_8));
        }
        byte[] whole = Files.readAllBytes(jar);
        for (int at = 100; at < whole.length - 200; at += 7) { // the entry's data
            byte[] flipped = whole.clone();
            flipped[at] ^= (byte) (1 << at % 8);
            Path damaged = Files.write(directory.resolve(at + ".jar"), flipped);
            assertThatThrownBy(() -> texts(TextSource.archive(damaged)))
                    .as("byte %d", at)
                    .hasMessageContaining("Could not read " + at + ".jar!/entry");
        }
    }

    @Test
    void whatTheSystemRefusesComesWithARemedy() throws Exception {
        assertThat(Failures.reason(new FileSystemException("/a/file", null, "Too many open files")))
                .isEqualTo(
                        "/a/file: Too many open files. This process may open no more: raise its limit, for example by ulimit -n 65536");
        assertThat(Failures.reason(new AccessDeniedException("/a/file")))
                .isEqualTo("/a/file may not be read by this user");
        assertThat(Failures.reason(new IOException("other"))).isEqualTo("other");
    }

    @Test
    void lines() throws Exception {
        Path file = Files.writeString(directory.resolve("f"), "\r\none\r\n \t\n\n  two \nthree\n ");
        assertThat(texts(TextSource.lines(file))).containsExactly("one", "  two ", "three");
    }

    @Test
    void sectionsEndWithALineAndLoseNothing() throws Exception {
        var text = new StringBuilder();
        for (int i = 0; i < 1000; i++) {
            text.append("Zeile ").append(i).append(" ü\n".repeat(i % 3 + 1));
        }
        text.append("no end");
        Path file = Files.writeString(directory.resolve("f"), text);
        List<String> sections = texts(TextSource.sections(file, 500));
        assertThat(String.join("", sections)).isEqualTo(text.toString());
        assertThat(sections.subList(0, sections.size() - 1))
                .allMatch(section -> section.endsWith("\n"))
                .allMatch(section -> section.getBytes(StandardCharsets.UTF_8).length >= 500);
    }

    @Test
    void sectionsWithoutLinesEndWithACharacter() throws Exception {
        Path file = Files.writeString(directory.resolve("f"), "ü".repeat(5001) + "🙂");
        List<String> sections = texts(TextSource.sections(file, 101));
        assertThat(String.join("", sections)).isEqualTo(Files.readString(file)).doesNotContain("\uFFFD");
        assertThat(sections).hasSize(50).allMatch(section -> section.length() <= 102);
    }

    @Test
    void badBytesAreReplacedAndCounted() throws Exception {
        Path file = directory.resolve("f");
        Files.write(file, new byte[] {'a', (byte) 0xFF, 'b', (byte) 0xC3, 'c', (byte) 0xEF, (byte) 0xBF, (byte) 0xBD});
        Document document = TextSources.files(file).read(0);
        assertThat(document.text()).isEqualTo("a\uFFFDb\uFFFDc\uFFFD");
        assertThat(document.malformed()).as("the third was one already").isEqualTo(2);
    }

    @Test
    void theSplitIsByDocumentAndSeeded() {
        String[] all = IntStream.range(0, 100).mapToObj(i -> "text " + i).toArray(String[]::new);
        TextSource.Split split = TextSource.of(all).split(0.2, 7);
        List<String> both = new ArrayList<>(texts(split.train()));
        assertThat(both).hasSize(80);
        both.addAll(texts(split.validation()));
        assertThat(both).containsExactlyInAnyOrder(all);
        assertThat(texts(TextSource.of(all).split(0.2, 7).validation())).isEqualTo(texts(split.validation()));
        assertThat(texts(TextSource.of(all).split(0.2, 8).validation())).isNotEqualTo(texts(split.validation()));
    }

    @Test
    void badSourcesAreNamed() throws Exception {
        Path missing = directory.resolve("missing");
        assertThatThrownBy(() -> TextSource.files(missing))
                .isInstanceOf(NoSuchFileException.class)
                .hasMessageContaining("missing does not exist");
        assertThatThrownBy(() -> TextSource.lines(missing)).hasMessageContaining("missing does not exist");
        Path empty = Files.writeString(directory.resolve("empty"), "");
        assertThatThrownBy(() -> TextSource.files(empty)).hasMessageContaining("empty is empty");
        assertThatThrownBy(() -> TextSource.files(directory)).hasMessageContaining("has no files with text");
        Path text = Files.writeString(directory.resolve("text"), "\n\n\n");
        assertThatThrownBy(() -> TextSource.archive(text)).hasMessageContaining("not a jar or zip");
        assertThatThrownBy(() -> TextSource.lines(text)).hasMessageContaining("only blank lines");
        assertThatThrownBy(() -> TextSource.files(text).matching(name -> false)).hasMessageContaining("None of the 1");
        assertThatThrownBy(() -> TextSource.files(text).split(0.1, 0)).hasMessageContaining("Cannot hold out 0.1 of 1");
    }
}
