package org.nanodo.files;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** Reads, decodes and hashes bytes. */
public final class Bytes {
    private Bytes() {}

    /**
     * Reads a part of a file. Reading costs a copy that mapping does not, but a file that is truncated meanwhile causes an
     * exception instead of a signal.
     *
     * @throws EOFException if the file ends before the part does
     */
    public static byte[] read(Path file, long position, int length) throws IOException {
        try (var channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return read(file, channel, position, length);
        }
    }

    /** Reads a part of an open file. @param file for messages */
    public static byte[] read(Path file, FileChannel channel, long position, int length) throws IOException {
        var bytes = ByteBuffer.allocate(length);
        while (bytes.hasRemaining()) {
            if (channel.read(bytes, position + bytes.position()) < 0) {
                throw new EOFException(file + " has become shorter since it was opened");
            }
        }
        return bytes.array();
    }

    /** Decodes UTF-8. @throws CharacterCodingException if the bytes are not UTF-8 */
    public static String utf8(byte[] bytes) throws CharacterCodingException {
        return StandardCharsets.UTF_8
                .newDecoder()
                .decode(ByteBuffer.wrap(bytes))
                .toString();
    }

    /** Returns the SHA-256 of the bytes in lower-case hexadecimal digits. */
    public static String sha256(byte[] bytes) {
        return HexFormat.of().formatHex(newSha256().digest(bytes));
    }

    static MessageDigest newSha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("Every Java platform has SHA-256", e);
        }
    }
}
