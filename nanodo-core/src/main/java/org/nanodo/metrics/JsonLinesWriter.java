package org.nanodo.metrics;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import org.nanodo.files.Json;

/** Writes one JSON object per line. */
final class JsonLinesWriter implements MetricWriter {
    private static final String START = "{\"step\":";

    private final Path path;
    private RecordFile file;

    JsonLinesWriter(Path path) {
        this.path = path;
    }

    @Override
    public void accept(Metrics metrics) {
        if (file == null) {
            file = new RecordFile(path, JsonLinesWriter::open);
        }
        var line = new LinkedHashMap<String, Object>();
        line.put("step", metrics.step());
        metrics.values().forEach((name, value) -> line.put(name, Double.isFinite(value) ? value : null));
        file.append((Json.writeLine(line) + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** Opens a file of metrics and removes a last line that a crash cut short. */
    private static SeekableByteChannel open(Path path) throws IOException {
        SeekableByteChannel channel = RecordFile.open(path);
        try {
            byte[] expected = START.getBytes(StandardCharsets.UTF_8);
            ByteBuffer start = read(channel, 0, (int) Math.min(expected.length, channel.size()));
            if (!ByteBuffer.wrap(expected, 0, start.remaining()).equals(start)) {
                throw new IllegalArgumentException(
                        path + " is not a file of metrics, it does not begin with " + START + ": choose another file");
            }
            return channel.truncate(endOfLastLine(channel));
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    private static long endOfLastLine(SeekableByteChannel channel) throws IOException {
        int block = 1 << 16;
        for (long end = channel.size(); end > 0; ) {
            long from = Math.max(0, end - block);
            ByteBuffer bytes = read(channel, from, (int) (end - from));
            for (int i = bytes.limit() - 1; i >= 0; i--) {
                if (bytes.get(i) == '\n') {
                    return from + i + 1;
                }
            }
            end = from;
        }
        return 0;
    }

    private static ByteBuffer read(SeekableByteChannel channel, long from, int length) throws IOException {
        var bytes = ByteBuffer.allocate(length);
        channel.position(from);
        while (bytes.hasRemaining() && channel.read(bytes) >= 0) {
            // until the buffer is full
        }
        return bytes.flip();
    }

    @Override
    public void close() {
        if (file != null) {
            file.close();
            file = null;
        }
    }
}
