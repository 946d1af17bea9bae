package org.nanodo.source;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where lines and sections begin, held against a search byte by byte. */
class ByteScanTest {
    private static final int BUFFER = 1 << 18;

    @TempDir
    Path directory;

    @Test
    void linesBeginWhereASimpleSearchFindsThem() throws Exception {
        for (byte[] text : texts()) {
            Path file = Files.write(directory.resolve("f"), text);
            assertThat(all(FileLines.scan(file, 0))).isEqualTo(lines(text));
        }
    }

    @Test
    @Tag("slow")
    void sectionsBeginWhereASimpleSearchFindsThem() throws Exception {
        for (byte[] text : texts()) {
            Path file = Files.write(directory.resolve("f"), text);
            for (int bytes : new int[] {1, 2, 9, 500, BUFFER - 1, BUFFER, 700_000}) {
                try (var scan = ByteScan.of(file)) {
                    assertThat(all(FileSections.starts(scan, bytes)))
                            .as("sections of %d", bytes)
                            .isEqualTo(sections(text, bytes));
                }
            }
        }
    }

    @Test
    void noByteIsReadTwiceAndWhatLongSectionsSkipIsNotRead() throws Exception {
        byte[] text = texts().get(0);
        Path file = Files.write(directory.resolve("f"), text);
        try (var counted = new Counted(FileChannel.open(file))) {
            FileLines.scan(file, 0, new ByteScan(file, counted));
            assertThat(counted.read).isEqualTo(text.length);
        }
        try (var counted = new Counted(FileChannel.open(file))) {
            FileSections.starts(new ByteScan(file, counted), 1000);
            assertThat(counted.read).isLessThanOrEqualTo(text.length);
        }
        Path large =
                Files.write(directory.resolve("g"), "0123456\n".repeat(1 << 20).getBytes());
        try (var counted = new Counted(FileChannel.open(large))) {
            assertThat(FileSections.starts(new ByteScan(large, counted), 1 << 20)
                            .size())
                    .isEqualTo(9);
            assertThat(counted.read).isLessThan(8L * BUFFER + 1);
        }
    }

    @Test
    void aFileThatBecomesShorterIsNamed() throws Exception {
        Path file = Files.write(directory.resolve("f"), new byte[3 * BUFFER]);
        try (var scan = ByteScan.of(file)) {
            Files.write(file, new byte[10]);
            assertThatThrownBy(() -> FileLines.scan(file, 0, scan))
                    .isInstanceOf(EOFException.class)
                    .hasMessageContaining(file + " has become shorter");
        }
    }

    @Test
    void offsetsAreKeptBeyondFourGigabytes() {
        var offsets = new Offsets();
        var expected = new ArrayList<Long>();
        var random = new Random(1);
        for (long offset = 0; expected.size() < 70_000; offset += random.nextInt(600_000)) {
            offsets.add(offset);
            expected.add(offset);
            offset += expected.size() == 30_000 ? 20L << 30 : 0; // a line of five times the range of an int
        }
        assertThat(all(offsets)).isEqualTo(expected);
        assertThat(offsets.countTo(-1)).isZero();
        assertThat(offsets.countTo(expected.get(50_000))).isEqualTo(50_001);
        assertThat(offsets.countTo(expected.get(50_000) - 1)).isEqualTo(50_000);
        assertThat(offsets.countTo(Long.MAX_VALUE)).isEqualTo(70_000);
    }

    /** Lines of all lengths, blank ones, CRLF, several bytes a character; bytes of any kind; no line's end at the end. */
    private static List<byte[]> texts() {
        var random = new Random(1);
        var text = new StringBuilder("\r\n \t\n");
        for (int line = 0; line < 3000; line++) {
            int length = line % 1000 == 500 ? 300_000 : random.nextInt(400) * random.nextInt(2);
            random.ints(length, 0, 6).forEach(i -> text.append("a bü\u00a0🙂".codePointAt(i % 5)));
            text.append(List.of("\n", "\r\n", "\n\n", "\n\t \n", "\r").get(random.nextInt(5)));
        }
        byte[] any = new byte[50_000];
        random.nextBytes(any);
        byte[] continued = new byte[3 * BUFFER];
        java.util.Arrays.fill(continued, (byte) 0x80);
        continued[2 * BUFFER] = '\n';
        byte[] mixed = (text + "no end").getBytes(StandardCharsets.UTF_8);
        return List.of(mixed, any, continued, "\n".repeat(100).getBytes(), "one".getBytes(), "one\n".getBytes());
    }

    private static List<Long> lines(byte[] text) {
        var starts = new ArrayList<Long>();
        long start = 0;
        boolean blank = true;
        for (int i = 0; i < text.length; i++) {
            if (blank && (text[i] & 0xFF) > ' ') {
                starts.add(start);
                blank = false;
            }
            if (text[i] == '\n') {
                start = i + 1;
                blank = true;
            }
        }
        starts.add((long) text.length);
        return starts;
    }

    private static List<Long> sections(byte[] text, int bytes) {
        var starts = new ArrayList<>(List.of(0L));
        int start = 0;
        for (int i = 1; i < text.length; i++) {
            boolean isCharacter = (text[i] & 0xC0) != 0x80;
            if (i - start >= bytes && text[i - 1] == '\n' || i - start >= 2L * bytes && isCharacter) {
                starts.add((long) i);
                start = i;
            }
        }
        starts.add((long) text.length);
        return starts;
    }

    private static List<Long> all(FileLines lines) {
        return all(lines.starts());
    }

    private static List<Long> all(Offsets offsets) {
        var all = new ArrayList<Long>();
        for (int i = 0; i < offsets.size(); i++) {
            all.add(offsets.get(i));
        }
        return all;
    }

    private static final class Counted implements SeekableByteChannel {
        private final SeekableByteChannel channel;
        private long read;

        private Counted(SeekableByteChannel channel) {
            this.channel = channel;
        }

        @Override
        public int read(ByteBuffer to) throws IOException {
            int count = channel.read(to);
            read += Math.max(0, count);
            return count;
        }

        @Override
        public int write(ByteBuffer from) {
            throw new UnsupportedOperationException();
        }

        @Override
        public long position() throws IOException {
            return channel.position();
        }

        @Override
        public SeekableByteChannel position(long position) throws IOException {
            channel.position(position);
            return this;
        }

        @Override
        public long size() throws IOException {
            return channel.size();
        }

        @Override
        public SeekableByteChannel truncate(long size) {
            throw new UnsupportedOperationException();
        }

        @Override
        public boolean isOpen() {
            return channel.isOpen();
        }

        @Override
        public void close() throws IOException {
            channel.close();
        }
    }
}
