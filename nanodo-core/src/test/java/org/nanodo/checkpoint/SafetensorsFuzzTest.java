package org.nanodo.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.files.CorruptFileException;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Any file is either read or refused by a CorruptFileException, with memory in proportion to its size. */
@Tag("slow")
class SafetensorsFuzzTest {
    private static final int CASES = 100_000;
    private static final String[] PIECES = {
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u0000",
        "null",
        "true",
        "-1",
        "0",
        "1.5",
        "1e999",
        "NaN",
        "F32",
        "BF16",
        "F8_E4M3",
        "dtype",
        "shape",
        "data_offsets",
        "__metadata__",
        "\"a\":",
        "[0,0]",
        "9223372036854775807",
        "-9223372036854775808",
        "4611686018427387904",
        "18446744073709551616",
        "1".repeat(2000),
        "[".repeat(2000),
        "{\"a\":".repeat(1500),
        "\u00ff",
        "\ud83d\ude00",
        " ",
        "\n",
        "\u0000"
    };

    @TempDir
    Path directory;

    private final Random random = new Random(7);
    private final ThreadMXBean thread = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    /** Nine in ten cases are headers in memory, the others files whose tensors are read, too. */
    @Test
    void readsOrRefusesAnything() throws Exception {
        byte[] valid = valid();
        int dataStart = valid.length - 24 - 5; // after the JSON and its padding
        byte[] json = Arrays.copyOfRange(valid, Long.BYTES, dataStart);
        byte[] data = Arrays.copyOfRange(valid, dataStart, valid.length);
        Path file = directory.resolve("case");
        int read = 0;
        for (int i = 0; i < CASES; i++) {
            boolean asFile = i % 10 == 0;
            byte[] header = random.nextInt(4) == 0 ? noise() : mutate(json);
            byte[] bytes = asFile ? file(header, data) : header;
            if (asFile) {
                Files.write(file, bytes);
            }
            long before = thread.getCurrentThreadAllocatedBytes();
            read += isRead(file, asFile ? null : header, bytes, data.length) ? 1 : 0;
            assertThat(thread.getCurrentThreadAllocatedBytes() - before)
                    .as("bytes allocated for " + bytes.length)
                    .isLessThan((1L << 18) + 200L * bytes.length);
        }
        assertThat(read).isBetween(CASES / 100, CASES / 2); // or the cases would show little
    }

    private static boolean isRead(Path path, byte[] header, byte[] bytes, int dataBytes) {
        try {
            if (header != null) {
                SafetensorsHeader.parse(path, header, dataBytes);
            } else {
                readAll(path, bytes.length);
            }
            return true;
        } catch (CorruptFileException e) {
            assertThat(e).hasMessageContaining(path.toString());
            return false;
        } catch (Exception | Error e) {
            return fail("An exception of another type for " + new String(bytes, StandardCharsets.ISO_8859_1), e);
        }
    }

    private static void readAll(Path path, int length) throws IOException {
        try (var file = Safetensors.open(path);
                var scope = Scope.open()) {
            long total = 0;
            for (String name : file.names()) {
                total += file.read(name, Device.cpu()).nbytes();
            }
            assertThat(total).isLessThanOrEqualTo(length);
        }
    }

    private byte[] valid() throws Exception {
        Path file = directory.resolve("valid");
        var tensors = new LinkedHashMap<String, Tensor>();
        tensors.put("a", Tensors.zeros(Device.cpu(), 2, 3));
        tensors.put("nothing", Tensors.empty(Device.cpu(), ScalarType.BFloat16, 0, 4));
        tensors.put("b.c", Tensors.zeros(Device.cpu(), 5).to(ScalarType.Byte));
        Safetensors.write(file, tensors, Map.of("note", "größer"));
        return Files.readAllBytes(file);
    }

    private byte[] noise() {
        byte[] bytes = new byte[random.nextInt(200)];
        random.nextBytes(bytes);
        return bytes;
    }

    /** Returns a file whose header usually has the right length, and whose end may be missing. */
    private byte[] file(byte[] header, byte[] data) {
        long length = random.nextInt(10) == 0 ? random.nextLong() >> random.nextInt(64) : header.length;
        byte[] bytes = ByteBuffer.allocate(Long.BYTES + header.length + data.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(length)
                .put(header)
                .put(data)
                .array();
        return random.nextInt(10) == 0 ? Arrays.copyOf(bytes, random.nextInt(bytes.length)) : bytes;
    }

    private byte[] mutate(byte[] valid) {
        byte[] bytes = valid;
        for (int n = random.nextInt(2); n >= 0; n--) {
            int at = random.nextInt(bytes.length + 1);
            int until = Math.min(bytes.length, at + random.nextInt(12));
            bytes = switch (random.nextInt(6)) {
                case 0 -> splice(bytes, at, at, random(PIECES)); // insert
                case 1 -> splice(bytes, at, until, random(PIECES)); // replace
                case 2 -> splice(bytes, at, until, new byte[0]); // delete
                case 3 -> splice(bytes, at, at, Arrays.copyOfRange(bytes, at, until)); // repeat
                default -> flip(bytes);
            };
        }
        return bytes;
    }

    private byte[] random(String[] pieces) {
        return pieces[random.nextInt(pieces.length)].getBytes(StandardCharsets.UTF_8);
    }

    private byte[] flip(byte[] bytes) {
        byte[] flipped = bytes.clone();
        if (bytes.length > 0) {
            flipped[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
        }
        return flipped;
    }

    private static byte[] splice(byte[] bytes, int from, int to, byte[] between) {
        return ByteBuffer.allocate(bytes.length - to + from + between.length)
                .put(bytes, 0, from)
                .put(between)
                .put(bytes, to, bytes.length - to)
                .array();
    }
}
