package org.nanodo.metrics;

import static com.google.protobuf.UnknownFieldSet.newBuilder;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import com.google.protobuf.UnknownFieldSet.Field;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.zip.CRC32C;

/**
 * Writes TensorFlow's event files: {@code Event} messages with the fields from which TensorBoard reads scalars, each framed as
 * a TFRecord. Values are float32.
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

    private final Path directory;
    private RecordFile file;
    private long last = Long.MAX_VALUE;

    TensorBoardWriter(Path directory) {
        this.directory = directory;
    }

    @Override
    public void accept(Metrics metrics) {
        if (file == null) {
            file = new RecordFile(newFile(), RecordFile::open);
            append(0, EVENT_FILE_VERSION, ByteString.copyFromUtf8("brain.Event:2"));
        }
        if (metrics.step() < last) {
            // TensorBoard drops the values from this step on, in earlier files too. A run that resumes with the
            // evaluation that its last step lacks keeps the training metrics of that step.
            long from = metrics.step() + (metrics.has("train_loss") ? 0 : 1);
            append(from, EVENT_SESSION_LOG, newBuilder().mergeVarintField(SESSION_LOG_STATUS, SESSION_LOG_START));
        }
        last = metrics.step();
        UnknownFieldSet.Builder summary = newBuilder();
        metrics.values().forEach((name, value) -> {
            int bits = Float.floatToIntBits(value.floatValue());
            summary.mergeLengthDelimitedField(
                    SUMMARY_VALUE,
                    newBuilder()
                            .mergeLengthDelimitedField(VALUE_TAG, ByteString.copyFromUtf8(name))
                            .addField(
                                    VALUE_SIMPLE_VALUE,
                                    Field.newBuilder().addFixed32(bits).build())
                            .build()
                            .toByteString());
        });
        append(metrics.step(), EVENT_SUMMARY, summary);
    }

    /** Creates a file whose name ends in a number: TensorBoard reads the files of a directory in the order of their names. */
    private Path newFile() {
        long seconds = System.currentTimeMillis() / 1000;
        try {
            Files.createDirectories(directory);
            for (int i = 0; ; i++) {
                try {
                    return Files.createFile(directory.resolve(
                            String.format(Locale.ROOT, "events.out.tfevents.%010d.nanodo.%03d", seconds, i)));
                } catch (FileAlreadyExistsException e) {
                    // Try the next number.
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("Cannot write metrics to " + directory + ": " + e, e);
        }
    }

    private void append(long step, int field, UnknownFieldSet.Builder message) {
        append(step, field, message.build().toByteString());
    }

    private void append(long step, int field, ByteString value) {
        long wallTime = Double.doubleToLongBits(System.currentTimeMillis() / 1e3);
        file.append(record(newBuilder()
                .addField(
                        EVENT_WALL_TIME, Field.newBuilder().addFixed64(wallTime).build())
                .addField(EVENT_STEP, Field.newBuilder().addVarint(step).build())
                .mergeLengthDelimitedField(field, value)
                .build()
                .toByteArray()));
    }

    /** Frames data as length, checksum of the length, data, checksum of the data; little-endian. */
    static byte[] record(byte[] data) {
        var record = ByteBuffer.allocate(8 + 4 + data.length + 4).order(ByteOrder.LITTLE_ENDIAN);
        record.putLong(data.length).putInt(maskedCrc(record.array(), 8));
        return record.put(data).putInt(maskedCrc(data, data.length)).array();
    }

    /** Returns a rotated and shifted checksum, so that a checksum over data that contains checksums remains useful. */
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
