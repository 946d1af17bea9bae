package org.nanodo.tokenizer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import org.nanodo.files.Bytes;

/**
 * A file that defines a tokenizer. Its content, by digest, says which tokenizer that is; the path only where to look for it.
 *
 * @param sha256 of the bytes, in hexadecimal digits
 */
record TokenizerFile(Path path, byte[] bytes, String sha256) {
    /** The one entry of a spec that two equal tokenizers may differ in. */
    static final String PATH = "file";

    private static final String SHA256 = "sha256";

    /** Ten times the largest vocabularies there are. */
    private static final long MAX_BYTES = 1 << 28;

    static TokenizerFile read(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file + " does not exist: a tokenizer was to be read from it");
        }
        if (!Files.isRegularFile(file) || Files.size(file) == 0 || Files.size(file) > MAX_BYTES) {
            throw new IllegalArgumentException(file + " cannot be a tokenizer's file: it is "
                    + (Files.isRegularFile(file) ? Files.size(file) + " bytes, of 1 to " + MAX_BYTES : "a directory"));
        }
        byte[] bytes = Files.readAllBytes(file);
        return new TokenizerFile(file.toAbsolutePath().normalize(), bytes, Bytes.sha256(bytes));
    }

    /** Finds a spec's file again. @throws IllegalArgumentException if it is not there any more, or another one */
    static TokenizerFile of(Map<String, String> spec) throws IOException {
        String path = String.valueOf(spec.get(PATH));
        String wanted = String.valueOf(spec.get(SHA256));
        String remedy =
                ": put the one with SHA-256 " + wanted + " there, or make the tokenizer from where it is now, with"
                        + " Tokenizer.sentencePiece or Tokenizer.huggingFace";
        if (!Files.isRegularFile(Path.of(path))) {
            throw new IllegalArgumentException("The tokenizer's file " + path + " is gone" + remedy);
        }
        TokenizerFile file = read(Path.of(path));
        if (!file.sha256.equals(wanted)) {
            throw new IllegalArgumentException("The tokenizer's file " + path + " has changed" + remedy);
        }
        return file;
    }

    /** What finds it again, besides what the kind of tokenizer adds. */
    Map<String, String> spec(String kind, Map<String, String> more) {
        var spec = new TreeMap<>(more);
        spec.put("kind", kind);
        spec.put(PATH, path.toString());
        spec.put(SHA256, sha256);
        return spec;
    }
}
