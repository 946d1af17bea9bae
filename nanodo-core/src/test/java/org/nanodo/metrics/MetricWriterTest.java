package org.nanodo.metrics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.nanodo.TinyRun.builder;
import static org.nanodo.TinyRun.config;

import com.google.protobuf.UnknownFieldSet;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TinyRun;
import org.nanodo.files.Json;
import org.nanodo.model.DecoderModel;

class MetricWriterTest {
    @TempDir
    Path directory;

    private static Metrics metrics(long step, double loss) {
        var values = new LinkedHashMap<String, Double>();
        values.put("train_loss", loss);
        values.put("grads/all/rms", 0.25);
        return new Metrics(step, values);
    }

    @Test
    void jsonLinesGoOnAfterACrash() throws Exception {
        Path file = directory.resolve("new/metrics.jsonl");
        try (var writer = MetricWriter.jsonLines(file)) {
            writer.accept(metrics(1, 5.5));
            assertThat(file).as("written at once").content().endsWith("}\n");
            writer.accept(metrics(2, Double.NaN));
        }
        Files.writeString(file, "{\"step\":3,\"train_lo", StandardOpenOption.APPEND);
        try (var writer = MetricWriter.jsonLines(file)) {
            writer.accept(metrics(2, 5));
        }
        assertThat(Files.readAllLines(file))
                .containsExactly(
                        "{\"step\":1,\"train_loss\":5.5,\"grads/all/rms\":0.25}",
                        "{\"step\":2,\"train_loss\":null,\"grads/all/rms\":0.25}",
                        "{\"step\":2,\"train_loss\":5.0,\"grads/all/rms\":0.25}");
    }

    /** More than is read at once from its end. */
    @Test
    void aLongLineCutShortGoes() throws Exception {
        Path file = directory.resolve("metrics.jsonl");
        String line = "{\"step\":1}\n";
        Files.writeString(file, line + "{\"step\":" + "1".repeat(200_000));
        try (var writer = MetricWriter.jsonLines(file)) {
            writer.accept(new Metrics(2, Map.of()));
        }
        assertThat(file).hasContent(line + "{\"step\":2}\n");
        Files.writeString(file, "{\"st");
        try (var writer = MetricWriter.jsonLines(file)) {
            writer.accept(new Metrics(2, Map.of()));
        }
        assertThat(file).hasContent("{\"step\":2}\n");
    }

    @Test
    void anotherFileIsNotTouched() throws Exception {
        Path file = Files.writeString(directory.resolve("notes.txt"), "my notes");
        try (var writer = MetricWriter.jsonLines(file)) {
            assertThatThrownBy(() -> writer.accept(metrics(1, 1)))
                    .hasMessageContaining("notes.txt is not a file of metrics");
        }
        assertThat(file).hasContent("my notes");
    }

    @Test
    void aFolderThatCannotBeIsNamed() throws Exception {
        Path file = Files.writeString(directory.resolve("file"), "");
        assertThatThrownBy(() ->
                        MetricWriter.jsonLines(file.resolve("metrics.jsonl")).accept(metrics(1, 1)))
                .isInstanceOf(UncheckedIOException.class)
                .hasMessageContaining("Cannot write metrics to " + file.resolve("metrics.jsonl"));
        assertThatThrownBy(() -> MetricWriter.tensorBoard(file).accept(metrics(1, 1)))
                .isInstanceOf(UncheckedIOException.class)
                .hasMessageContaining("Cannot write metrics to " + file);
    }

    /** The format's own definition, read without what wrote it: framing by hand, a checksum bit by bit. */
    @Test
    void tensorBoardReadsWhatItExpects() throws Exception {
        double before = System.currentTimeMillis() / 1e3;
        try (var writer = MetricWriter.tensorBoard(directory)) {
            writer.accept(metrics(7, 5.5));
            writer.accept(new Metrics(8, Map.of("eval_loss", 1e-3)));
        }
        try (var writer = MetricWriter.tensorBoard(directory)) {
            writer.accept(metrics(300, Double.NaN));
            writer.accept(metrics(20, 5)); // gone back to a checkpoint
        }
        List<Path> files;
        try (var list = Files.list(directory)) {
            files = list.sorted().toList();
        }
        assertThat(files).hasSize(2);
        assertThat(files.get(0).getFileName().toString()).startsWith("events.out.tfevents.");

        List<UnknownFieldSet> events = events(files.get(0));
        assertThat(events).hasSize(4);
        for (UnknownFieldSet event : events) {
            double wallTime =
                    Double.longBitsToDouble(event.getField(1).getFixed64List().get(0));
            assertThat(wallTime).isBetween(before, System.currentTimeMillis() / 1e3);
        }
        assertThat(text(events.get(0), 3)).isEqualTo("brain.Event:2");
        assertThat(step(events.get(1))).isEqualTo(7);
        assertThat(message(events.get(1), 7, 0).getField(1).getVarintList()).containsExactly(1L); // START
        assertThat(step(events.get(2))).isEqualTo(7);
        assertThat(scalars(events.get(2))).isEqualTo(Map.of("train_loss", 5.5f, "grads/all/rms", 0.25f));
        assertThat(step(events.get(3))).isEqualTo(8);
        assertThat(scalars(events.get(3))).isEqualTo(Map.of("eval_loss", 1e-3f));

        List<UnknownFieldSet> resumed = events(files.get(1));
        assertThat(resumed).hasSize(5);
        assertThat(step(resumed.get(1))).isEqualTo(300);
        assertThat(scalars(resumed.get(2))).containsEntry("train_loss", Float.NaN);
        assertThat(step(resumed.get(3))).isEqualTo(20);
        assertThat(resumed.get(3).hasField(7)).isTrue();
    }

    private static List<UnknownFieldSet> events(Path file) throws IOException {
        var events = new ArrayList<UnknownFieldSet>();
        var bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        while (bytes.hasRemaining()) {
            byte[] length = new byte[8];
            bytes.get(length);
            assertThat(bytes.getInt()).isEqualTo(maskedCrc(length));
            byte[] data = new byte
                    [Math.toIntExact(ByteBuffer.wrap(length)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .getLong())];
            bytes.get(data);
            assertThat(bytes.getInt()).isEqualTo(maskedCrc(data));
            events.add(UnknownFieldSet.parseFrom(data));
        }
        return events;
    }

    private static int maskedCrc(byte[] data) {
        int crc = ~0;
        for (byte b : data) {
            crc ^= b & 0xff;
            for (int bit = 0; bit < 8; bit++) {
                crc = (crc & 1) != 0 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1;
            }
        }
        crc = ~crc;
        return (crc >>> 15 | crc << 17) + 0xa282ead8;
    }

    private static long step(UnknownFieldSet event) {
        return event.getField(2).getVarintList().get(0);
    }

    private static String text(UnknownFieldSet message, int field) {
        return message.getField(field).getLengthDelimitedList().get(0).toStringUtf8();
    }

    private static UnknownFieldSet message(UnknownFieldSet message, int field, int index) throws IOException {
        return UnknownFieldSet.parseFrom(
                message.getField(field).getLengthDelimitedList().get(index));
    }

    private static Map<String, Float> scalars(UnknownFieldSet event) throws IOException {
        UnknownFieldSet summary = message(event, 5, 0);
        var scalars = new LinkedHashMap<String, Float>();
        for (int i = 0; i < summary.getField(1).getLengthDelimitedList().size(); i++) {
            UnknownFieldSet value = message(summary, 1, i);
            scalars.put(
                    text(value, 1),
                    Float.intBitsToFloat(value.getField(2).getFixed32List().get(0)));
        }
        return scalars;
    }

    @Test
    void theLibraryForTensorBoardIsNamedWhereItIsMissing() throws Exception {
        URL[] classes = {
            MetricWriter.class.getProtectionDomain().getCodeSource().getLocation()
        };
        var withoutProtobuf = new ClassLoader(MetricWriterTest.class.getClassLoader()) {
            @Override
            protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
                if (name.startsWith("com.google.protobuf.") || name.startsWith("org.nanodo.")) {
                    throw new ClassNotFoundException(name);
                }
                return super.loadClass(name, resolve);
            }
        };
        try (var loader = new URLClassLoader(classes, withoutProtobuf)) {
            Class<?> writers = loader.loadClass("org.nanodo.metrics.MetricWriter");
            writers.getMethod("jsonLines", Path.class).invoke(null, directory);
            assertThatThrownBy(
                            () -> writers.getMethod("tensorBoard", Path.class).invoke(null, directory))
                    .rootCause()
                    .isInstanceOf(ClassNotFoundException.class);
            assertThatThrownBy(
                            () -> writers.getMethod("tensorBoard", Path.class).invoke(null, directory))
                    .cause()
                    .hasMessageContaining("add com.google.protobuf:protobuf-java");
        }
    }

    /** A disk that is full for a while, and takes half of a record before it says so. */
    @Test
    void aFullDiskCostsTheRecordsMeantForItAndNoOther() throws Exception {
        boolean[] full = {false};
        Path path = directory.resolve("metrics.jsonl");
        String log = logOf(() -> {
            try (var file = new RecordFile(path, p -> new FillingDisk(p, full))) {
                file.append("one\n".getBytes(StandardCharsets.UTF_8));
                full[0] = true;
                file.append("two\n".getBytes(StandardCharsets.UTF_8));
                assertThat(path).hasContent("one\n");
                file.append("three\n".getBytes(StandardCharsets.UTF_8));
                full[0] = false;
                file.append("four\n".getBytes(StandardCharsets.UTF_8));
                file.append("five\n".getBytes(StandardCharsets.UTF_8));
            }
        });
        assertThat(path).hasContent("one\nfour\nfive\n");
        assertThat(log.lines()).hasSize(2);
        assertThat(log)
                .contains("ERROR")
                .contains(
                        "metrics.jsonl, training continues without them: java.io.IOException: No space left on device")
                .contains("2 records are missing");
    }

    @Test
    void aFileThatIsMovedOrRemovedEndsTheRun() throws Exception {
        Path run = Files.createDirectories(directory.resolve("run"));
        for (String ending : List.of("moved", "removed", "another")) {
            Path path = run.resolve("metrics.jsonl");
            try (var writer = MetricWriter.jsonLines(path)) {
                writer.accept(new Metrics(1, Map.of()));
                if (ending.equals("removed")) {
                    Files.delete(path);
                } else {
                    Files.move(path, directory.resolve(ending));
                }
                if (ending.equals("another")) {
                    Files.writeString(path, "{\"step\":1}\n");
                }
                assertThatThrownBy(() -> writer.accept(new Metrics(2, Map.of())))
                        .as(ending)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining(path.toString())
                        .hasMessageContaining("the run was writing to");
            }
            Files.deleteIfExists(path);
        }
        assertThat(directory.resolve("moved")).hasContent("{\"step\":1}\n");
    }

    /** Each would write over the other's records. */
    @Test
    void twoRunsDoNotWriteToOneFile() throws Exception {
        Path path = directory.resolve("metrics.jsonl");
        try (var first = MetricWriter.jsonLines(path);
                var second = MetricWriter.jsonLines(path)) {
            first.accept(new Metrics(1, Map.of()));
            second.accept(new Metrics(7, Map.of()));
            assertThatThrownBy(() -> first.accept(new Metrics(2, Map.of())))
                    .hasMessageContaining("metrics.jsonl has 22 bytes, but this run has written 11");
        }
        assertThat(path).hasContent("{\"step\":1}\n{\"step\":7}\n");
    }

    @Test
    void anInterruptedWriteDoesNotEndTheFile() throws Exception {
        Path path = directory.resolve("metrics.jsonl");
        try (var writer = MetricWriter.jsonLines(path)) {
            writer.accept(new Metrics(1, Map.of()));
            logOf(() -> {
                Thread.currentThread().interrupt(); // closes the channel
                writer.accept(new Metrics(2, Map.of()));
                assertThat(Thread.interrupted()).isTrue();
                writer.accept(new Metrics(3, Map.of()));
            });
        }
        assertThat(path).hasContent("{\"step\":1}\n{\"step\":3}\n");
    }

    private record FillingDisk(SeekableByteChannel file, boolean[] full) implements SeekableByteChannel {
        FillingDisk(Path path, boolean[] full) throws IOException {
            this(Files.newByteChannel(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE), full);
        }

        @Override
        public int write(ByteBuffer bytes) throws IOException {
            if (full[0]) {
                file.write(bytes.slice().limit(bytes.remaining() / 2));
                throw new IOException("No space left on device");
            }
            return file.write(bytes);
        }

        @Override
        public int read(ByteBuffer bytes) throws IOException {
            return file.read(bytes);
        }

        @Override
        public long position() throws IOException {
            return file.position();
        }

        @Override
        public SeekableByteChannel position(long position) throws IOException {
            return file.position(position);
        }

        @Override
        public long size() throws IOException {
            return file.size();
        }

        @Override
        public SeekableByteChannel truncate(long size) throws IOException {
            return file.truncate(size);
        }

        @Override
        public boolean isOpen() {
            return file.isOpen();
        }

        @Override
        public void close() throws IOException {
            file.close();
        }
    }

    @FunctionalInterface
    private interface Action {
        void run() throws Exception;
    }

    /** What goes to the log, which is the error output here. */
    private static String logOf(Action action) throws Exception {
        var bytes = new ByteArrayOutputStream();
        PrintStream errors = System.err;
        System.setErr(new PrintStream(bytes, true));
        try {
            action.run();
        } finally {
            System.setErr(errors);
        }
        return bytes.toString();
    }

    @Test
    void theLogGetsALine() throws Exception {
        assertThat(logOf(() -> MetricWriter.log().accept(metrics(3, 5.5))))
                .contains("INFO")
                .contains("step 3  train_loss 5.5000  grads/all/rms 0.25000")
                .hasLineCount(1);
    }

    @Test
    void someStepsAndAllEvaluations() {
        var heard = new ArrayList<Long>();
        boolean[] closed = {false};
        var all = new MetricWriter() {
            @Override
            public void accept(Metrics metrics) {
                heard.add(metrics.step());
            }

            @Override
            public void close() {
                closed[0] = true;
            }
        };
        try (var some = all.every(3)) {
            for (int step = 1; step <= 7; step++) {
                some.accept(metrics(step, 1));
            }
            some.accept(new Metrics(7, Map.of("eval_loss", 1.0)));
        }
        assertThat(heard).containsExactly(3L, 6L, 7L);
        assertThat(closed[0]).isTrue();
        assertThatThrownBy(() -> all.every(0)).hasMessageContaining("every 0 steps");
    }

    /** The counts of parameters stand in the first record alone. */
    @Test
    void theFirstStepIsWrittenWhateverDividesIt() throws Exception {
        var written = new ArrayList<Metrics>();
        MetricWriter all = written::add;
        try (var model = DecoderModel.create(config(false), 1);
                var trainer = builder(model, 5).write(all.every(2)).build()) {
            trainer.run();
        }
        assertThat(written.stream().map(Metrics::step)).containsExactly(1L, 2L, 4L);
        assertThat(written.get(0).values()).containsKeys("n_params/all", "n_params/embed");
    }

    @Test
    void speedIsWrittenNowAndThen() {
        var written = new ArrayList<Metrics>();
        MetricWriter all = written::add;
        MetricWriter some = all.speedEvery(2);
        for (int step = 1; step <= 2; step++) {
            some.accept(new Metrics(
                    step,
                    Map.of("train_loss", 1.0, "steps_per_sec", 2.0, "uptime", 3.0, "mfu", 4.0, "seconds/data", 5.0)));
        }
        assertThat(written.get(0).values()).containsOnlyKeys("train_loss");
        assertThat(written.get(1).values()).hasSize(5);
        assertThatThrownBy(() -> all.speedEvery(0)).hasMessageContaining("every 0 steps");
    }

    /** Stopped after a checkpoint and resumed from it, a run writes some of its steps again. */
    @Test
    void aRunWritesWhatItsListenersHear() throws Exception {
        Path file = directory.resolve("metrics.jsonl");
        var heard = new ArrayList<Metrics>();
        for (int steps : new int[] {3, 5}) {
            try (var model = DecoderModel.create(config(false), 1);
                    var trainer = builder(model, steps)
                            .checkpoints(directory.resolve("run"), 2, 3)
                            .evaluate(TinyRun.DATA, 4)
                            .write(MetricWriter.jsonLines(file))
                            .listen(heard::add)
                            .build()) {
                trainer.resume().run();
            }
        }
        List<String> lines = Files.readAllLines(file);
        assertThat(lines).hasSameSizeAs(heard);
        for (int i = 0; i < lines.size(); i++) {
            Map<?, ?> line = Json.read(lines.get(i), Map.class);
            assertThat(line.remove("step")).isEqualTo((int) heard.get(i).step());
            assertThat(line).isEqualTo(heard.get(i).values());
        }
    }
}
