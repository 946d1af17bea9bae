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
import java.util.HexFormat;
import java.util.List;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;
import org.nanodo.tokenizer.Tokenizer;

/** Reads a file of JSON objects, one a line. The reading thread finds the lines; the encoding threads parse them. */
final class JsonLines implements DocumentReader {
    private static final JsonFactory JSON = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxStringLength(Integer.MAX_VALUE) // the length of a line is the limit
                    .build())
            .build();

    /** Ten times the longest books. */
    private static final int MAX_LINE = 1 << 27;

    private static final String GZIP = "1f8b";
    private static final String ZSTD = "28b52ffd";

    /** The number of field names that a message lists. */
    private static final int MAX_NAMES = 8;

    private final Path file;
    private final String field;
    private final InputStream in;
    private final byte[] buffer = new byte[1 << 16];
    private final ByteArrayOutputStream begun = new ByteArrayOutputStream(); // a line that continues after the buffer
    private int position;
    private int limit;
    private long line;

    private JsonLines(Path file, String field, InputStream in) {
        this.file = file;
        this.field = field;
        this.in = in;
    }

    static DocumentReader open(Path file, String field) throws IOException {
        String magic = magic(file);
        if (magic.startsWith(ZSTD)) {
            throw new IOException(file + " is compressed by zstd, which is not supported: use gzip or plain text");
        }
        InputStream in = Files.newInputStream(file);
        try {
            in.skipNBytes(byteOrderMark(magic));
            return new JsonLines(file, field, magic.startsWith(GZIP) ? new GZIPInputStream(in, 1 << 16) : in);
        } catch (EOFException | ZipException e) {
            in.close();
            throw new IOException(file + " is truncated or damaged: its gzip header cannot be read", e);
        } catch (IOException e) {
            in.close();
            throw e;
        }
    }

    /** Returns the first bytes of a file, which tell its format, in hexadecimal. */
    private static String magic(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            return HexFormat.of().formatHex(in.readNBytes(4));
        }
    }

    private static int byteOrderMark(String magic) {
        return magic.startsWith("efbbbf") ? 3 : 0;
    }

    /** Returns whether lines can be read individually. */
    static boolean isPlain(Path file) throws IOException {
        String magic = magic(file);
        return !magic.startsWith(GZIP) && !magic.startsWith(ZSTD);
    }

    /** Finds all lines of a plain file. */
    static FileLines scan(Path file) throws IOException {
        return FileLines.scan(file, byteOrderMark(magic(file)));
    }

    /** Returns the document of one line of a plain file. */
    static UnreadDocument document(FileLines lines, int index, String field) {
        return tokenizer -> {
            String name = lines.name(index);
            try {
                byte[] json = lines.bytes(index, MAX_LINE);
                if (json.length > MAX_LINE) {
                    throw tooLong(name);
                }
                return new Line(name, field, json).tokens(tokenizer);
            } catch (OutOfMemoryError e) {
                throw Document.tooLarge(name, e);
            }
        };
    }

    private static IOException tooLong(String line) {
        return new IOException(line + " is longer than " + MAX_LINE + " bytes: this is not a file of JSON lines");
    }

    @Override
    public UnreadDocument next() throws IOException {
        try {
            return nextDocument();
        } catch (OutOfMemoryError e) {
            throw Document.tooLarge(file + " line " + (line + 1), e);
        }
    }

    private UnreadDocument nextDocument() throws IOException {
        for (byte[] bytes = nextLine(); bytes != null; bytes = nextLine()) {
            for (byte b : bytes) {
                if (b > ' ' || b < 0) {
                    return new Line(file + " line " + line, field, bytes);
                }
            }
        }
        return null;
    }

    /** Returns the next line without its line feed; null after the last. */
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
            throw new IOException(file + " is truncated: its gzip data ends after line " + line + ". Copy it again", e);
        } catch (ZipException e) {
            throw new IOException(file + " is damaged after line " + line + ": " + e.getMessage(), e);
        }
    }

    @Override
    public void close() throws IOException {
        in.close();
    }

    private record Line(String name, String field, byte[] json) implements UnreadDocument {
        @Override
        public int bytes() {
            return json.length;
        }

        @Override
        public Tokens tokens(Tokenizer tokenizer) throws IOException {
            try {
                return parsed().encode(tokenizer);
            } catch (OutOfMemoryError e) {
                throw Document.tooLarge(name, e);
            }
        }

        private Document parsed() throws IOException {
            Document whole = Document.decodeStrictly(name, json);
            try (JsonParser parser = JSON.createParser(whole.text())) {
                return new Document(name, text(parser), 0);
            } catch (JsonProcessingException e) {
                String what = e.getOriginalMessage().replaceFirst(" \\(start marker .*", "");
                throw new CorruptDocumentException(name + " is not JSON: " + what);
            }
        }

        private String text(JsonParser parser) throws IOException {
            JsonToken first = parser.nextToken();
            if (first == JsonToken.START_ARRAY) {
                throw new CorruptDocumentException(name
                        + " begins a JSON array, but JSON lines have one object a line: convert it with jq -c '.[]'");
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
