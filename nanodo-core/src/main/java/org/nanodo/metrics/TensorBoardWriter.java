package org.nanodo.metrics;

import com.google.protobuf.CodedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * TensorFlow's event files: {@code Event} messages, of which these are the fields that TensorBoard reads scalars from, each framed as a
 * TFRecord. Values are float32 there.
 */
final class TensorBoardWriter implements MetricWriter {
    private static final int EVENT_WALL_TIME = 1;
    private static final int EVENT_STEP = 2;
    private static final int EVENT_FILE_VERSION = 3;
    private static final int EVENT_SUMMARY = 5;
    private static final int EVENT_SESSION_LOG = 7;
    private static final int SESSION_LOG_STATUS = 1;
    private static final int SESSION_LOG_START = 1;
    private static final int SUMMARY_VALUE = 1;
    private static final int VALUE_TAG = 1;
    private static final int VALUE_SIMPLE_VALUE = 2;

    /** Writes a message's fields. */
    @FunctionalInterface
    private interface Fields {
        void write(CodedOutputStream out) throws IOException;
    }

    private final Path folder;
    private RecordFile file;
    private long last = Long.MAX_VALUE;

    TensorBoardWriter(Path folder) {
        this.folder = folder;
    }

    @Override
    public void accept(Metrics metrics) {
        if (file == null) {
            file = new RecordFile(newFile());
            append(0, out -> out.writeString(EVENT_FILE_VERSION, "brain.Event:2"));
        }
        if (metrics.step() < last) {
            // TensorBoard drops what it has from this step on, in earlier files too. A run that resumes with the
            // evaluation
            // that its last step still lacks keeps what was told of that step.
            long from = metrics.step() + (metrics.has("train_loss") ? 0 : 1);
            byte[] start = message(out -> out.writeEnum(SESSION_LOG_STATUS, SESSION_LOG_START));
            append(from, out -> out.writeByteArray(EVENT_SESSION_LOG, start));
        }
        last = metrics.step();
        byte[] summary = summary(metrics.values());
        append(metrics.step(), out -> out.writeByteArray(EVENT_SUMMARY, summary));
    }

    /** Names end in a number: TensorBoard reads a folder's files in the order of their names. */
    private Path newFile() {
        long seconds = System.currentTimeMillis() / 1000;
        try {
            Files.createDirectories(folder);
            for (int i = 0; ; i++) {
                try {
                    return Files.createFile(folder.resolve(
                            String.format(Locale.ROOT, "events.out.tfevents.%010d.nanodo.%03d", seconds, i)));
                } catch (FileAlreadyExistsException e) {
                    // The next number, then.
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot write metrics to " + folder + ": " + e, e);
        }
    }

    private static byte[] summary(Map<String, Double> values) {
        return message(out -> {
            for (var value : values.entrySet()) {
                out.writeByteArray(SUMMARY_VALUE, message(scalar -> {
                    scalar.writeString(VALUE_TAG, value.getKey());
                    scalar.writeFloat(VALUE_SIMPLE_VALUE, value.getValue().floatValue());
                }));
            }
        });
    }

    private void append(long step, Fields what) {
        file.append(record(message(out -> {
            out.writeDouble(EVENT_WALL_TIME, System.currentTimeMillis() / 1e3);
            out.writeInt64(EVENT_STEP, step);
            what.write(out);
        })));
    }

    private static byte[] message(Fields fields) {
        try {
            var bytes = new ByteArrayOutputStream();
            CodedOutputStream out = CodedOutputStream.newInstance(bytes);
            fields.write(out);
            out.flush();
            return bytes.toByteArray();
        } catch (IOException e) {
            throw new UncheckedIOException(e); // not in memory
        }
    }

    /** Length, its checksum, data, their checksum; little-endian. */
    static byte[] record(byte[] data) {
        var record = ByteBuffer.allocate(8 + 4 + data.length + 4).order(ByteOrder.LITTLE_ENDIAN);
        record.putLong(data.length).putInt(maskedCrc(record.array(), 8));
        return record.put(data).putInt(maskedCrc(data, data.length)).array();
    }

    /** Rotated and moved, so that a checksum over data with checksums inside keeps its worth. */
    private static int maskedCrc(byte[] data, int length) {
        var crc = new CRC32C();
        crc.update(data, 0, length);
        return Integer.rotateRight((int) crc.getValue(), 15) + 0xa282ead8;
    }

    @Override
    public void close() {
        if (file != null) {
            file.close();
            file = null;
            last = Long.MAX_VALUE;
        }
    }
}
