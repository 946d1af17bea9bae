package org.nanodo.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.files.AtomicDirectory;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Manifest;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;

class TensorSetTest {
    private static final long[] SHAPE = {3, 5};

    @TempDir
    Path directory;

    /** A tensor is written by any number of ranks, some of which hold nothing of it, and read by any other number. */
    @Test
    void anyNumberOfRanksReadsWhatAnyNumberHasWritten() throws Exception {
        for (int writers = 1; writers <= 20; writers++) {
            Path written = directory.resolve("of-" + writers);
            int[] rank = {0};
            for (; rank[0] < writers; rank[0]++) {
                var contents = new Contents(rank[0], writers).tensors("t", slices(rank[0], writers));
                Path part = written.resolveSibling(written.getFileName() + "." + rank[0]);
                AtomicDirectory.create(part, contents);
                Files.createDirectories(written);
                for (String name : part.toFile().list()) {
                    Files.move(part.resolve(name), written.resolve(name.equals(Manifest.NAME) ? "m" + rank[0] : name));
                }
            }
            try (var set = TensorSet.open(written, "t")) {
                assertThat(set.names()).containsExactlyInAnyOrder("a", "step");
                assertThat(set.shape("a")).isEqualTo(SHAPE);
                assertThat(Tensors.toFloats(set.read("a", Device.cpu()))).containsExactly(values(0, 15));
                assertThat(set.read("step", Device.cpu()).item_double()).isEqualTo(7);
                for (int readers = 1; readers <= 20; readers++) {
                    for (int reader = 0; reader < readers; reader++) {
                        Slice slice = slices(reader, readers).get("a");
                        if (slice != null) {
                            float[] expected = Tensors.toFloats(slice.values());
                            Tensors.fill(slice.values(), -1);
                            set.readInto("a", slice);
                            assertThat(Tensors.toFloats(slice.values())).containsExactly(expected);
                        }
                    }
                }
            }
        }
    }

    /** Returns rank r's equal part of fifteen elements, and a number that all ranks hold. */
    private static Map<String, Slice> slices(int rank, int world) {
        int each = (15 + world - 1) / world;
        int start = Math.min(15, rank * each);
        int end = Math.min(15, start + each);
        var slices = new LinkedHashMap<String, Slice>();
        slices.put("step", Slice.all(Tensors.floats(Device.cpu(), new float[] {7})));
        if (world == 1) {
            slices.put("a", Slice.all(Tensors.floats(Device.cpu(), values(0, 15), SHAPE)));
        } else if (start < end) {
            slices.put("a", slice(start, end));
        }
        return slices;
    }

    private static Slice slice(int start, int end) {
        return new Slice(Tensors.floats(Device.cpu(), values(start, end), end - start), SHAPE, start);
    }

    private static float[] values(int start, int end) {
        var values = new float[end - start];
        IntStream.range(0, values.length).forEach(i -> values[i] = start + i + 0.5f);
        return values;
    }

    @Test
    void aTargetHasTheTypeAndShapeOfTheFile() throws Exception {
        AtomicDirectory.create(directory.resolve("x"), new Contents().tensors("t", slices(0, 1)));
        try (var set = TensorSet.open(directory.resolve("x"), "t")) {
            Tensor other = Tensors.zeros(Device.cpu(), 5, 3);
            assertThatThrownBy(() -> set.readInto("a", Slice.all(other)))
                    .isInstanceOf(CorruptFileException.class)
                    .hasMessageContaining("t.safetensors: tensor \"a\" is Float[3, 5], but must be Float[5, 3]");
            assertThatThrownBy(() -> set.require("step", Slice.all(Tensors.doubles(Device.cpu(), new double[1]))))
                    .hasMessageContaining("is Float[], but must be Double[]");
            assertThatThrownBy(() -> set.read("b", Device.cpu())).hasMessageContaining("has no tensor \"b\"");
        }
        assertThatThrownBy(() -> TensorSet.open(directory, "t"))
                .isInstanceOf(NoSuchFileException.class)
                .hasMessageContaining("has no t.safetensors");
        assertThatThrownBy(() -> slice(12, 16)).hasMessageContaining("4 elements starting at 12");
    }

    @Test
    void slicesThatDoNotMakeATensorAreNotRead() throws Exception {
        assertThat(message(slice(0, 8), slice(8, 15))).isEmpty();
        assertThat(message(slice(0, 8))).contains("t.rank-", "lacks elements of \"a\" from 8 on");
        assertThat(message(slice(4, 15))).contains("a gap or an overlap in \"a\" at element 0:");
        assertThat(message(slice(0, 8), slice(7, 15))).contains("a gap or an overlap in \"a\" at element 8:");
        assertThat(message(slice(0, 8), slice(0, 8), slice(8, 15)))
                .contains("a gap or an overlap in \"a\" at element 8:");
        var ofAnother = new Slice(slice(8, 15).values(), new long[] {5, 3}, 8);
        assertThat(message(slice(0, 8), ofAnother)).contains("differ in type or whole shape");
    }

    @Test
    void noNumberOfTheMetadataIsTrusted() throws Exception {
        for (String origin : new String[] {
            "",
            "3",
            "null",
            "{}",
            "{\"shape\":[3,5]}",
            "{\"shape\":null,\"start\":0}",
            "{\"shape\":[3,5],\"start\":-1}",
            "{\"shape\":[3,5],\"start\":1}",
            "{\"shape\":[3,5],\"start\":9223372036854775807}",
            "{\"shape\":[-3,-5],\"start\":0}",
            "{\"shape\":[4294967296,4294967296],\"start\":0}",
            "{\"shape\":[7],\"start\":0}",
            "{\"shape\":[1000000,1000000],\"start\":0}"
        }) {
            Path file = directory.resolve("t.safetensors");
            Files.deleteIfExists(file);
            Safetensors.write(file, Map.of("a", slice(0, 15).values()), Map.of("a", origin));
            assertThatThrownBy(() -> TensorSet.open(directory, "t"))
                    .as(origin)
                    .isInstanceOf(CorruptFileException.class)
                    .hasMessageContaining("t.safetensors")
                    .hasMessageContaining("\"a\"");
        }
    }

    /** Returns the message of opening a set with one file for each slice. */
    private String message(Slice... slices) throws Exception {
        for (String name : directory.toFile().list()) {
            Files.delete(directory.resolve(name));
        }
        for (int rank = 0; rank < slices.length; rank++) {
            try (var channel = Files.newByteChannel(
                    directory.resolve(TensorSet.fileName("t", rank, Math.max(2, slices.length))),
                    StandardOpenOption.CREATE_NEW,
                    StandardOpenOption.WRITE)) {
                TensorSet.write(channel, Map.of("a", slices[rank]));
            }
        }
        try (var set = TensorSet.open(directory, "t")) {
            return "";
        } catch (CorruptFileException e) {
            return e.getMessage();
        }
    }
}
