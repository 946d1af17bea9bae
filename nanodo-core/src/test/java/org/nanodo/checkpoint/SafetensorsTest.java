package org.nanodo.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.nanodo.files.CorruptFileException;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;

class SafetensorsTest {
    @TempDir
    Path directory;

    @ParameterizedTest
    @EnumSource(names = {"Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"})
    void everyTypeComesBack(ScalarType type) throws Exception {
        Path file = directory.resolve("a.safetensors");
        Tensor tensor = Tensors.floats(Device.cpu(), new float[] {0, 1, 2, 3, 0, 5}, 2, 3)
                .to(type);
        Tensor nothing = Tensors.empty(Device.cpu(), type, 0, 4);
        var tensors = new LinkedHashMap<String, Tensor>();
        tensors.put("nothing", nothing);
        tensors.put("some.thing", tensor);
        tensors.put("scalar", tensor.select(0, 1).select(0, 2));
        Safetensors.write(file, tensors, Map.of("note", "größer"));
        try (var read = Safetensors.open(file)) {
            assertThat(read.metadata()).containsExactly(Map.entry("note", "größer"));
            assertThat(read.names()).containsExactly("nothing", "some.thing", "scalar");
            assertThat(read.read("some.thing", Device.cpu()).equal(tensor)).isTrue();
            assertThat(Tensors.type(read.read("some.thing", Device.cpu()))).isEqualTo(type);
            assertThat(read.shape("nothing")).containsExactly(0, 4);
            assertThat(read.read("scalar", Device.cpu()).shape()).isEmpty();
        }
    }

    @Test
    void aViewIsWrittenInItsOwnOrder() throws Exception {
        Path file = directory.resolve("a.safetensors");
        Tensor transposed = Tensors.floats(Device.cpu(), new float[] {1, 2, 3, 4, 5, 6}, 2, 3)
                .t();
        Safetensors.write(file, Map.of("t", transposed), Map.of());
        try (var read = Safetensors.open(file)) {
            assertThat(Tensors.toFloats(read.read("t", Device.cpu()))).containsExactly(1, 4, 2, 5, 3, 6);
        }
    }

    @Test
    void everyTruncationIsNoticed() throws Exception {
        Path file = directory.resolve("a.safetensors");
        Safetensors.write(file, Map.of("t", Tensors.zeros(Device.cpu(), 16)), Map.of());
        byte[] whole = Files.readAllBytes(file);
        for (int length = 0; length < whole.length; length++) {
            Path cut = directory.resolve("cut");
            Files.write(cut, Arrays.copyOf(whole, length));
            assertThatThrownBy(() -> Safetensors.open(cut))
                    .as("first " + length + " bytes")
                    .isInstanceOf(CorruptFileException.class)
                    .hasMessageContaining(cut.toString());
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "[]                                                             | not a JSON object",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]} | does not parse",
                "{\"a\":{\"dtype\":\"F8\",\"shape\":[1],\"data_offsets\":[0,4]}} | does not parse",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}} | does not parse",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}} | lacks",
                "{\"a\":null} | lacks",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}} | negative",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}} | bytes 4 to 0",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}} | bytes 0 to 4",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,4]}} | larger than any memory",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}} | gap",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} | overlap",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} | truncated",
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}} | header requires 1",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} | does not parse",
                "{\"__metadata__\":{\"a\":1}} | does not parse",
                "{\"__metadata__\":null} | does not parse",
                "{\"__metadata__\":{\"a\":null}} | does not parse"
            })
    void aHeaderThatLiesIsRefused(String header, String message) throws Exception {
        assertThatThrownBy(() -> Safetensors.open(withHeader(header, 4)))
                .isInstanceOf(CorruptFileException.class)
                .hasMessageContaining(message);
    }

    @Test
    void aHugeHeaderLengthAllocatesNothing() throws Exception {
        Path file = directory.resolve("huge");
        for (long length : new long[] {Long.MAX_VALUE, -1, 100_000_001, 1_000}) {
            Files.write(
                    file,
                    ByteBuffer.allocate(16)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .putLong(length)
                            .array());
            assertThatThrownBy(() -> Safetensors.open(file))
                    .isInstanceOf(CorruptFileException.class)
                    .hasMessageContaining("claims a header of " + Long.toUnsignedString(length));
        }
    }

    private Path withHeader(String header, int dataBytes) throws IOException {
        byte[] json = header.getBytes(StandardCharsets.UTF_8);
        var bytes = ByteBuffer.allocate(8 + json.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
        return Files.write(
                directory.resolve("lie"), bytes.putLong(json.length).put(json).array());
    }
}
