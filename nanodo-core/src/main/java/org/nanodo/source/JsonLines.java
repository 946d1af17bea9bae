package org.nanodo.source;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/** A file of JSON objects, one a line. Lines are found here by one thread, and parsed by those that encode. */
final class JsonLines implements DocumentReader {
    private static final JsonFactory JSON = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxStringLength(Integer.MAX_VALUE) // a line's own length is the bound
                    .build())
            .build();

    /** Ten times the longest books. */
    private static final int MAX_LINE = 1 << 27;

    /** Of a file, by which its format is told. */
    private static final int MAGIC = 4;

    /** Names of fields that a message lists. */
    private static final int MAX_NAMES = 8;

    private final Path file;
    private final String field;
    private final InputStream in;
    private final byte[] buffer = new byte[1 << 16];
    private final ByteArrayOutputStream begun = new ByteArrayOutputStream(); // of a line that the buffer ends in
    private int position;
    private int limit;
    private long line;
    private volatile boolean closed;

    private JsonLines(Path file, String field, InputStream in) {
        this.file = file;
        this.field = field;
        this.in = in;
    }

    static DocumentReader open(Path file, String field) throws IOException {
        InputStream in = Files.newInputStream(file);
        try {
            byte[] magic = in.readNBytes(MAGIC);
            in.close();
            in = Files.newInputStream(file);
            in.skipNBytes(mark(magic));
            if (isGzip(magic)) {
                in = new GZIPInputStream(in, 1 << 16);
            } else if (isZstd(magic)) {
                throw new IOException(file + " is compressed by zstd, which is not read here: gzip is, and plain text");
            }
            return new JsonLines(file, field, in);
        } catch (EOFException | ZipException e) {
            in.close();
            throw new IOException(file + " is truncated or damaged: its gzip header cannot be read", e);
        } catch (IOException e) {
            in.close();
            throw e;
        }
    }

    private static int mark(byte[] magic) { // of byte order
        return startsWith(magic, 0xEF, 0xBB, 0xBF) ? 3 : 0;
    }

    private static boolean isGzip(byte[] magic) {
        return startsWith(magic, 0x1F, 0x8B);
    }

    private static boolean isZstd(byte[] magic) {
        return startsWith(magic, 0x28, 0xB5, 0x2F, 0xFD);
    }

    private static boolean startsWith(byte[] magic, int... expected) {
        for (int i = 0; i < expected.length; i++) {
            if (i == magic.length || magic[i] != (byte) expected[i]) {
                return false;
            }
        }
        return true;
    }

    /** Whether any line can be read without those before it. */
    static boolean isPlain(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            byte[] magic = in.readNBytes(MAGIC);
            return !isGzip(magic) && !isZstd(magic);
        }
    }

    /** Finds all lines of a plain file. */
    static FileLines scan(Path file) throws IOException {
        int mark;
        try (InputStream in = Files.newInputStream(file)) {
            mark = mark(in.readNBytes(MAGIC));
        }
        return FileLines.scan(file, mark);
    }

    /** The document of one line of a file whose lines are found already. */
    static UnreadDocument document(FileLines lines, int index, String field) {
        UnreadText text = () -> {
            String name = lines.name(index);
            try {
                byte[] json = lines.bytes(index, MAX_LINE);
                if (json.length > MAX_LINE) {
                    throw tooLong(name);
                }
                return new Line(name, field, json).read();
            } catch (OutOfMemoryError e) {
                throw new IOException(name + ": " + Document.tooLarge(e).getMessage(), e);
            }
        };
        return text;
    }

    private static IOException tooLong(String line) {
        return new IOException(line + " is longer than " + MAX_LINE + " bytes: these are not JSON lines");
    }

    @Override
    public UnreadDocument next() throws IOException {
        try {
            return nextDocument();
        } catch (IOException e) {
            if (closed) {
                throw DocumentReader.closed(file.toString(), e);
            }
            throw e;
        } catch (OutOfMemoryError e) {
            throw new IOException(
                    file + " line " + (line + 1) + ": " + Document.tooLarge(e).getMessage(), e);
        }
    }

    private UnreadDocument nextDocument() throws IOException {
        if (closed) {
            throw DocumentReader.closed(file.toString(), null);
        }
        for (byte[] bytes = nextLine(); bytes != null; bytes = nextLine()) {
            for (byte b : bytes) {
                if (b > ' ' || b < 0) {
                    return new Line(file + " line " + line, field, bytes);
                }
            }
        }
        return null;
    }

    /** Without its end; null after the last. */
    private byte[] nextLine() throws IOException {
        while (true) {
            if (position == limit) {
                position = 0;
                limit = Math.max(0, fill());
                if (limit == 0) {
                    return begun.size() == 0 ? null : take(0);
                }
            }
            int end = position;
            while (end < limit && buffer[end] != '\n') {
                end++;
            }
            if (end < limit) {
                byte[] bytes = take(end);
                position = end + 1;
                return bytes;
            }
            if (begun.size() > MAX_LINE) {
                throw tooLong(file + " line " + (line + 1));
            }
            begun.write(buffer, position, limit - position);
            position = limit;
        }
    }

    private byte[] take(int end) {
        line++;
        begun.write(buffer, position, end - position);
        byte[] bytes = begun.toByteArray();
        begun.reset();
        return bytes;
    }

    private int fill() throws IOException {
        try {
            return in.read(buffer);
        } catch (EOFException e) {
            throw new IOException(
                    file + " is truncated: its gzip data ends in the middle, after line " + line + ". Copy it again",
                    e);
        } catch (ZipException e) {
            throw new IOException(file + " is damaged after line " + line + ": " + e.getMessage(), e);
        }
    }

    @Override
    public void close() throws IOException {
        closed = true;
        in.close();
    }

    private record Line(String name, String field, byte[] json) implements UnreadText {
        @Override
        public int bytes() {
            return json.length;
        }

        @Override
        public Document read() throws IOException {
            try {
                return parsed();
            } catch (OutOfMemoryError e) {
                throw new IOException(name + ": " + Document.tooLarge(e).getMessage(), e);
            }
        }

        private Document parsed() throws CorruptDocumentException {
            Document whole = Document.decodeStrictly(name, json);
            try (JsonParser parser = JSON.createParser(whole.text())) {
                return new Document(name, text(parser), 0);
            } catch (JsonProcessingException e) {
                String what = e.getOriginalMessage().replaceFirst(" \\(start marker .*", "");
                throw new CorruptDocumentException(name + " is not JSON: " + what);
            } catch (CorruptDocumentException e) {
                throw e;
            } catch (IOException e) {
                throw new CorruptDocumentException(name + " cannot be parsed: " + e.getMessage());
            }
        }

        private String text(JsonParser parser) throws IOException {
            JsonToken first = parser.nextToken();
            if (first == JsonToken.START_ARRAY) {
                throw new CorruptDocumentException(
                        name + " begins a JSON array, where JSON lines have an object a line: "
                                + "jq -c '.[]' makes them of it");
            }
            if (first != JsonToken.START_OBJECT) {
                throw new CorruptDocumentException(name + " is not a JSON object {…}");
            }
            String text = null;
            List<String> fields = new ArrayList<>();
            for (String key = parser.nextFieldName(); key != null; key = parser.nextFieldName()) {
                JsonToken value = parser.nextToken();
                if (!key.equals(field)) {
                    if (fields.size() < MAX_NAMES) {
                        fields.add(key.length() < 40 ? key : key.substring(0, 40) + "…");
                    }
                    parser.skipChildren();
                } else if (value == JsonToken.VALUE_STRING) {
                    text = parser.getText();
                } else {
                    throw new CorruptDocumentException(
                            name + ": field \"" + field + "\" is not a string but " + parser.getText());
                }
            }
            if (parser.nextToken() != null) {
                throw new CorruptDocumentException(name + " has more than one JSON object");
            }
            if (text == null) {
                throw new CorruptDocumentException(
                        name + " has no field \"" + field + "\", only " + String.join(", ", fields));
            }
            return text;
        }
    }
}
