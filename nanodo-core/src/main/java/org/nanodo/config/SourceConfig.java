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

/** Documents to train or evaluate on. {@code docs/config.md} describes each component; all but the path may be null. */
public record SourceConfig(
        String path, Format format, String field, Integer sectionBytes, Double weight, Boolean skipCorrupt) {
    public SourceConfig {
        Check.that(path != null, "a source has no \"path\"");
        Check.notEmpty("path", path);
    }

    /** File formats. */
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

    /** @throws IllegalArgumentException if a value does not apply to the format */
    DocumentSource open() throws IOException {
        Format format = this.format == null ? guessed() : this.format;
        Check.that(
                sectionBytes == null || format == Format.SECTIONS,
                path + ": section_bytes applies to the format sections, not to " + format);
        Check.that(
                field == null || format == Format.JSON_LINES || format == Format.PARQUET,
                path + ": field applies to JSON lines and Parquet, not to " + format);
        DocumentSource source = open(format);
        if (skipCorrupt == null || !skipCorrupt) {
            return source;
        } else if (source instanceof TextSource texts) {
            return texts.skipCorrupt();
        }
        throw new IllegalArgumentException(path + " contains tokens, which cannot be corrupt: leave skip_corrupt out");
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

    /** Returns a size that gives enough sections to hold some of them out. */
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
            throw new IllegalArgumentException(
                    path + " may be nanoGPT's or llm.c's: set its format to nanogpt or llm.c");
        }
        return Files.isRegularFile(Path.of(path)) ? Format.SECTIONS : Format.FILES;
    }

    Mixture mixedInto(Mixture others) throws IOException {
        double share = weight == null ? 1 : weight;
        return others == null ? Mixture.of(open(), share) : others.and(open(), share);
    }
}
