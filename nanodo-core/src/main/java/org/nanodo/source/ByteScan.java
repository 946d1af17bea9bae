package org.nanodo.source;

import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Searches a file from front to back through one buffer, eight bytes at a time: as fast as the file can be read. */
final class ByteScan implements Closeable {
    private static final long ONES = 0x0101010101010101L;
    private static final long TOP_BITS = 0x8080808080808080L;
    private static final long LINE_ENDS = ONES * '\n';

    private final Path file;
    private final SeekableByteChannel channel;
    private final long end;
    // Small enough for a core's cache. Not on the heap, where bytes would be copied once more, at a fifth of the speed.
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(1 << 18).order(ByteOrder.LITTLE_ENDIAN);
    private long start; // of the buffer in the file
    private int limit;

    ByteScan(Path file, SeekableByteChannel channel) throws IOException {
        this.file = file;
        this.channel = channel;
        end = channel.size();
    }

    static ByteScan of(Path file) throws IOException {
        return new ByteScan(file, FileChannel.open(file, StandardOpenOption.READ));
    }

    /** Where the file ended when it was opened. */
    long end() {
        return end;
    }

    /** The byte there, unsigned; -1 at the end of the file. */
    int at(long position) throws IOException {
        return position < end ? buffer.get(indexOf(position)) & 0xFF : -1;
    }

    /** Behind the next end of a line that is at {@code from} or later and before {@code to}; {@code to} if there is none. */
    long afterLine(long from, long to) throws IOException {
        for (long position = from; position < to; ) {
            int first = indexOf(position);
            int last = (int) Math.min(limit, to - start);
            int found = lineEnd(buffer, first, last);
            if (found < last) {
                return start + found + 1;
            }
            position = start + last;
        }
        return to;
    }

    /** In the buffer, which is read anew where it does not have this position: what is skipped is not read. */
    private int indexOf(long position) throws IOException {
        if (position < start || position >= start + limit) {
            limit = 0;
            start = position;
            limit = Math.max(0, channel.position(position).read(buffer.clear()));
            if (limit == 0) {
                throw new EOFException(file + " has become shorter while it was read");
            }
        }
        return (int) (position - start);
    }

    /** Where a line's end is first in this range; the range's end if nowhere. */
    private static int lineEnd(ByteBuffer bytes, int from, int to) {
        int i = from;
        for (; i <= to - Long.BYTES; i += Long.BYTES) {
            long different = bytes.getLong(i) ^ LINE_ENDS; // zero in the bytes that are one
            long found = (different - ONES) & ~different & TOP_BITS; // the lowest bit of it is right
            if (found != 0) {
                return i + (Long.numberOfTrailingZeros(found) >> 3);
            }
        }
        while (i < to && bytes.get(i) != '\n') {
            i++;
        }
        return i;
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
