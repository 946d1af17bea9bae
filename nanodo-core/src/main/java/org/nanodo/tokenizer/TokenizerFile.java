package org.nanodo.tokenizer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.nanodo.files.Bytes;

/**
 * A file that defines a tokenizer, which is identified by the SHA-256 of the file's content. The path only tells where to look.
 *
 * @param sha256 the SHA-256 of the bytes in hexadecimal digits
 */
record TokenizerFile(Path path, byte[] bytes, String sha256) {
    /** The only key of a spec whose value may differ between equal tokenizers. */
    static final String PATH = "file";

    private static final String SHA256 = "sha256";

    /** Ten times the size of the largest known vocabularies. */
    private static final long MAX_BYTES = 1 << 28;

    static TokenizerFile read(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file + " does not exist, so no tokenizer can be read from it");
        }
        if (!Files.isRegularFile(file) || Files.size(file) == 0 || Files.size(file) > MAX_BYTES) {
            throw new IllegalArgumentException(file + " cannot be a tokenizer's file: it is "
                    + (Files.isRegularFile(file)
                            ? Files.size(file) + " bytes long, not 1 to " + MAX_BYTES
                            : "a directory"));
        }
        byte[] bytes = Files.readAllBytes(file);
        return new TokenizerFile(file.toAbsolutePath().normalize(), bytes, Bytes.sha256(bytes));
    }

    /** Reads the file of a spec. @throws IllegalArgumentException if the file is missing or its content has changed */
    static TokenizerFile of(Map<String, String> spec) throws IOException {
        String path = String.valueOf(spec.get(PATH));
        String wanted = String.valueOf(spec.get(SHA256));
        String remedy =
                ": restore the file with SHA-256 " + wanted + ", or create the tokenizer from its new location with"
                        + " Tokenizer.sentencePiece or Tokenizer.huggingFace";
        if (!Files.isRegularFile(Path.of(path))) {
            throw new IllegalArgumentException("The tokenizer's file " + path + " is missing" + remedy);
        }
        TokenizerFile file = read(Path.of(path));
        if (!file.sha256.equals(wanted)) {
            throw new IllegalArgumentException("The tokenizer's file " + path + " has changed" + remedy);
        }
        return file;
    }

    /** Returns a spec from which {@link #of} reads this file. @param more entries that this kind of tokenizer adds */
    Map<String, String> spec(String kind, Map<String, String> more) {
        var spec = new TreeMap<>(more);
        spec.put("kind", kind);
        spec.put(PATH, path.toString());
        spec.put(SHA256, sha256);
        return spec;
    }
}
