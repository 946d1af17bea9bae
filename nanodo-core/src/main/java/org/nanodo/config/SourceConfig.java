package org.nanodo.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.nanodo.data.Mixture;
import org.nanodo.source.DocumentSource;
import org.nanodo.source.TextSource;
import org.nanodo.source.TokenSource;

/**
 * Documents to train or evaluate on.
 *
 * @param path a file or folder, or for JSON lines, Parquet and tokens also a pattern: {@code c4/c4-train.*.json.gz}
 * @param format null to go by the file's ending: {@code .jsonl .json .gz .parquet .jar .zip}; otherwise a folder is
 *     {@code files} and a file {@code sections}
 * @param field of a JSON object, or the column of a Parquet file, that has the text; null for {@code text}
 * @param sectionBytes cuts one large text, of the format {@code sections}, into documents of at least so many bytes; null for
 *     16,384, or a fiftieth of the file
 * @param weight share of the tokens; null for 1
 * @param skipCorrupt whether a document that cannot be read is passed over with a warning; null for not
 */
public record SourceConfig(
        @JsonProperty(required = true) String path,
        Format format,
        String field,
        Integer sectionBytes,
        Double weight,
        Boolean skipCorrupt) {
    public SourceConfig {
        Check.given("path", path);
        Check.notEmpty("path", path);
    }

    /** Kinds of files. */
    public enum Format {
        @JsonProperty("files")
        FILES,
        @JsonProperty("lines")
        LINES,
        @JsonProperty("sections")
        SECTIONS,
        @JsonProperty("archive")
        ARCHIVE,
        @JsonProperty("json_lines")
        JSON_LINES,
        @JsonProperty("parquet")
        PARQUET,
        @JsonProperty("nanogpt")
        NANO_GPT,
        @JsonProperty("llm.c")
        LLM_C
    }

    /** @throws IllegalArgumentException if a value does not go with the format */
    DocumentSource open() throws IOException {
        Format format = this.format == null ? guessed() : this.format;
        Check.that(
                sectionBytes == null || format == Format.SECTIONS,
                path + ": section_bytes goes with the format sections, not with " + format);
        Check.that(
                field == null || format == Format.JSON_LINES || format == Format.PARQUET,
                path + ": field goes with JSON lines and Parquet, not with " + format);
        DocumentSource source = open(format);
        if (skipCorrupt == null || !skipCorrupt) {
            return source;
        } else if (source instanceof TextSource texts) {
            return texts.skipCorrupt();
        }
        throw new IllegalArgumentException(
                path + " holds tokens, none of which can be corrupt: leave skip_corrupt out");
    }

    private DocumentSource open(Format format) throws IOException {
        String field = this.field == null ? "text" : this.field;
        return switch (format) {
            case FILES -> TextSource.files(Path.of(path));
            case LINES -> TextSource.lines(Path.of(path));
            case SECTIONS -> TextSource.sections(Path.of(path), sectionBytes == null ? guessedSection() : sectionBytes);
            case ARCHIVE -> TextSource.archive(Path.of(path));
            case JSON_LINES -> TextSource.jsonLines(path, field);
            case PARQUET -> TextSource.parquet(path, field);
            case NANO_GPT -> TokenSource.nanoGpt(path);
            case LLM_C -> TokenSource.llmC(path);
        };
    }

    /** Many enough that part of them can be held out. */
    private int guessedSection() throws IOException {
        return (int) Math.max(1, Math.min(1 << 14, Files.size(Path.of(path)) / 50));
    }

    private Format guessed() {
        String name = path.toLowerCase(Locale.ROOT);
        if (name.matches(".*\\.jsonl?(\\.gz)?")) {
            return Format.JSON_LINES;
        } else if (name.endsWith(".parquet")) {
            return Format.PARQUET;
        } else if (name.matches(".*\\.(jar|zip)")) {
            return Format.ARCHIVE;
        } else if (name.endsWith(".bin")) {
            throw new IllegalArgumentException(path + " may be nanoGPT's or llm.c's: say which as its format");
        }
        return Files.isRegularFile(Path.of(path)) ? Format.SECTIONS : Format.FILES;
    }

    Mixture mixedInto(Mixture others) throws IOException {
        double share = weight == null ? 1 : weight;
        return others == null ? Mixture.of(open(), share) : others.and(open(), share);
    }
}
