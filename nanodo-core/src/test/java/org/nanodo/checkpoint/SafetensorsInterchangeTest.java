package org.nanodo.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.util.passthrough.PassthroughNDManager;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;

/** Exchanges files with other libraries: reads one that Hugging Face's wrote, and exchanges both ways with DJL. */
class SafetensorsInterchangeTest {
    private static final float[] VALUES = {0, 1, 2, 3, 0, 5};
    private static final Map<String, ScalarType> TYPES = Map.of(
            "F64", ScalarType.Double,
            "F32", ScalarType.Float,
            "F16", ScalarType.Half,
            "BF16", ScalarType.BFloat16,
            "I64", ScalarType.Long,
            "I32", ScalarType.Int,
            "I16", ScalarType.Short,
            "I8", ScalarType.Char,
            "U8", ScalarType.Byte,
            "BOOL", ScalarType.Bool);

    /** DJL's names of the types. */
    private static final Map<String, DataType> DJL_TYPES = Map.of(
            "F64", DataType.FLOAT64,
            "F32", DataType.FLOAT32,
            "F16", DataType.FLOAT16,
            "BF16", DataType.BFLOAT16,
            "I64", DataType.INT64,
            "I32", DataType.INT32,
            "I8", DataType.INT8,
            "U8", DataType.UINT8,
            "BOOL", DataType.BOOLEAN);

    @TempDir
    Path directory;

    @Test
    void readsAFileOfTheReferenceImplementation() throws Exception {
        Path path = Path.of(
                getClass().getResource("/safetensors/reference.safetensors").toURI());
        try (var file = Safetensors.open(path)) {
            assertThat(file.metadata()).containsEntry("made by", "safetensors 0.8.0");
            assertThat(file.names()).hasSize(TYPES.size() + 3);
            for (String name : TYPES.keySet()) {
                assertThat(file.read(name, Device.cpu()).equal(values(name)))
                        .as(name)
                        .isTrue();
            }
            assertThat(file.shape("nothing")).containsExactly(0, 4);
            assertThat(file.read("scalar", Device.cpu()).shape()).isEmpty();
            assertThat(file.read("scalar", Device.cpu()).item_double()).isEqualTo(7);
            assertThat(file.read("größe.0/x", Device.cpu()).item_double()).isEqualTo(255);
        }
    }

    @Test
    void anotherImplementationReadsOurs() throws Exception {
        Path path = directory.resolve("ours");
        var tensors = new LinkedHashMap<String, Tensor>();
        DJL_TYPES.keySet().forEach(name -> tensors.put(name, values(name)));
        tensors.put("nothing", Tensors.zeros(Device.cpu(), 0, 4));
        Safetensors.write(path, tensors, Map.of("note", "größer"));
        NDList theirs = NDList.decode(PassthroughNDManager.INSTANCE, Files.newInputStream(path));
        assertThat(theirs).hasSize(tensors.size());
        for (NDArray array : theirs) {
            Tensor ours = tensors.get(array.getName());
            assertThat(array.getShape().getShape()).as(array.getName()).isEqualTo(ours.shape());
            if (!array.getName().equals("nothing")) {
                assertThat(array.getDataType()).isEqualTo(DJL_TYPES.get(array.getName()));
            }
            assertThat(array.toByteArray()).as(array.getName()).isEqualTo(bytes(ours));
        }
    }

    @Test
    void readsTheFileOfAnotherImplementation() throws Exception {
        var list = new NDList();
        var names = List.copyOf(DJL_TYPES.keySet());
        for (String name : names) {
            NDArray array = PassthroughNDManager.INSTANCE.create(
                    ByteBuffer.wrap(bytes(values(name))), new Shape(2, 3), DJL_TYPES.get(name));
            array.setName(name);
            list.add(array);
        }
        NDArray nothing =
                PassthroughNDManager.INSTANCE.create(ByteBuffer.allocate(0), new Shape(0, 4), DataType.BFLOAT16);
        nothing.setName("nothing");
        list.add(nothing);
        Path path = Files.write(directory.resolve("theirs"), list.encode(NDList.Encoding.SAFETENSORS));
        try (var file = Safetensors.open(path)) {
            for (String name : names) {
                assertThat(file.read(name, Device.cpu()).equal(values(name)))
                        .as(name)
                        .isTrue();
            }
            assertThat(file.type("nothing")).isEqualTo(ScalarType.BFloat16);
            assertThat(file.shape("nothing")).containsExactly(0, 4);
            assertThat(file.read("nothing", Device.cpu()).numel()).isZero();
        }
    }

    private static Tensor values(String type) {
        return Tensors.floats(Device.cpu(), VALUES, 2, 3).to(TYPES.get(type));
    }

    private static byte[] bytes(Tensor tensor) {
        var bytes = new byte[(int) tensor.nbytes()];
        Tensors.memory(tensor).forEach(part -> part.get(bytes));
        return bytes;
    }
}
