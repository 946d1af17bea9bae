package org.nanodo;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.nanodo.BadInputTest.Case;
import org.nanodo.checkpoint.CheckpointStore;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.checkpoint.TensorSet;
import org.nanodo.data.PackedDataset;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Manifest;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFiles;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;
import org.nanodo.source.TextSource;
import org.nanodo.train.Trainer;

/** Saved models and checkpoints that are not as they should be. */
final class BadCheckpoints {
    private static final TransformerConfig SIZES =
            TransformerConfig.builder().D(8).H(2).L(8).N(1).F(8).V(259).build();
    private static final String TENSOR = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";

    /** Changes a file's text. */
    @FunctionalInterface
    private interface Change {
        String of(String text);
    }

    private final Path directory;
    private int count;

    BadCheckpoints(Path directory) {
        this.directory = directory;
    }

    List<Case> cases() {
        var cases = new ArrayList<Case>();
        cases.add(model(
                "N beyond the tensors",
                "config.json",
                t -> t.replace("\"N\" : 1", "\"N\" : 2147483647"),
                "config.json: requires N=2147483647 blocks, but there are 11 tensors"));
        for (String letter : List.of("V", "L", "F")) {
            cases.add(model(
                    "a huge " + letter,
                    "config.json",
                    t -> t.replaceFirst("\"" + letter + "\" : \\d+", "\"" + letter + "\" : 2147483647"),
                    "the config requires [",
                    "2147483647"));
        }
        cases.add(model(
                "a huge D",
                "config.json",
                t -> t.replace("\"D\" : 8", "\"D\" : 2147483646"),
                "tensor \"embed\" is [259, 8], the config requires [259, 2147483646]"));
        cases.add(model(
                "a head more than D",
                "config.json",
                t -> t.replace("\"H\" : 2", "\"H\" : 3"),
                "config.json",
                "D=8 is not divisible by H=3"));
        cases.add(model("config null", "config.json", t -> "null", "config.json: Not a valid", "it is null"));
        cases.add(model("config empty", "config.json", t -> "", "config.json: Not a valid"));
        cases.add(model("config a list", "config.json", t -> "[]", "config.json: Not a valid"));
        cases.add(
                model("config without V", "config.json", t -> t.replaceFirst("\"V\" : 259,", ""), "config.json", "V"));
        cases.add(model(
                "config of deep nesting", "config.json", t -> "{\"a\":".repeat(100_000), "config.json", "nesting"));
        cases.add(model(
                "config with a long key",
                "config.json",
                t -> "{\"" + "k".repeat(1 << 20) + "\":1}",
                "config.json",
                "exceeds the maximum"));
        cases.add(model(
                "config of another kind",
                "config.json",
                t -> t.replace("\"nanodo\"", "\"bert\""),
                "config.json",
                "There is no model \"bert\""));
        cases.add(model("no tensors", "model.safetensors", t -> "", "model.safetensors", "too short"));
        cases.add(manifest("manifest null", t -> "null", "manifest.json: Not a valid Manifest: it is null"));
        cases.add(manifest("manifest of null", t -> "{\"files\":null}", "manifest.json", "must have"));
        cases.add(manifest(
                "manifest with a null entry", t -> "{\"files\":{\"a\":null}}", "manifest.json", "a lacks its SHA-256"));
        cases.add(
                manifest("manifest of deep nesting", t -> "[".repeat(100_000), "manifest.json: Not a valid Manifest"));
        cases.add(manifest(
                "a manifest that leaves its directory",
                t -> t.replace("config.json", "../config.json"),
                "\"../config.json\" is not the name of a file"));
        cases.add(manifest(
                "a manifest that does not list the config",
                t -> t.replace("config.json", "other.json"),
                "is not a saved model: it has no config.json"));
        cases.add(manifest(
                "a manifest that does not list the model",
                t -> t.replace("model.safetensors", "x.safetensors"),
                "has no model.safetensors"));
        cases.add(new Case(
                "a manifest of three gigabytes",
                () -> load(sparse(save(), Manifest.NAME)),
                CorruptFileException.class,
                "manifest.json: has 3221225472 bytes, more than the 67108864 allowed"));
        cases.add(new Case(
                "a config of three gigabytes",
                () -> load(sparse(unlisted(save()), "config.json")),
                CorruptFileException.class,
                "config.json: has 3221225472 bytes"));
        cases.add(new Case(
                "a listed file that is missing",
                () -> {
                    Path saved = save();
                    Files.delete(saved.resolve("model.safetensors"));
                    load(saved);
                },
                CorruptFileException.class,
                "model.safetensors: is missing"));
        cases.add(new Case(
                "a listed set that is missing",
                () -> {
                    Path saved = save();
                    Files.delete(saved.resolve("model.safetensors"));
                    TensorSet.open(saved, "model").close();
                },
                CorruptFileException.class,
                "model.safetensors: is missing"));
        cases.add(new Case(
                "a model alone has no tokenizer",
                () -> ModelFiles.tokenizer(save()),
                NoSuchFileException.class,
                "has no tokenizer.json"));
        cases.add(new Case(
                "no model", () -> load(directory.resolve("none")), NoSuchFileException.class, "none does not exist"));
        for (String text : List.of("null", "{\"kind\":null}", "[]", "{\"kind\":{}}", "")) {
            cases.add(new Case(
                    "tokenizer.json of " + text,
                    () -> {
                        Path saved = unlisted(save());
                        Files.writeString(saved.resolve("tokenizer.json"), text);
                        ModelFiles.tokenizer(saved);
                    },
                    CorruptFileException.class,
                    "tokenizer.json: not an object of strings"));
        }
        cases.add(run("run.json null", t -> "null", "run.json: Not a valid RunState: it is null"));
        cases.add(run(
                "run.json of another step",
                t -> t.replace("\"step\" : 2", "\"step\" : 3"),
                "run.json: is of step 3, which is not what its directory's name says"));
        cases.add(run(
                "run.json of a negative step",
                t -> t.replace("\"step\" : 2", "\"step\" : -2"),
                "run.json",
                "not negative"));
        cases.add(run(
                "run.json without position", t -> t.replace("\"position\"", "\"positoin\""), "run.json", "a position"));
        cases.add(run(
                "run.json without data",
                t -> t.replaceFirst("(?s)\"data\" : \\{.*?\\}", "\"data\" : null"),
                "run.json",
                "data"));
        cases.add(new Case(
                "fewer steps than the checkpoint has",
                () -> resume(checkpoint(), 1),
                IllegalArgumentException.class,
                "step_00000002 has made 2 steps, more than the 1 of this run"));
        cases.add(new Case(
                "no checkpoint to keep",
                () -> new CheckpointStore(directory, 0),
                IllegalArgumentException.class,
                "keep is 0"));
        cases.add(new Case(
                "a set after close",
                () -> {
                    var set = TensorSet.open(save(), "model");
                    set.close();
                    set.read("embed", Device.cpu());
                },
                IllegalStateException.class,
                "model.safetensors is closed"));
        cases.add(safetensors(
                "a header longer than the file", Long.MAX_VALUE, TENSOR, 4, "claims a header of 9223372036854775807"));
        cases.add(safetensors("a negative header", -1, TENSOR, 4, "claims a header of 18446744073709551615 bytes"));
        cases.add(safetensors("a header of null", 4, "null", 0, "not a JSON object"));
        cases.add(safetensors("a header of deep nesting", 60_000, "{\"a\":".repeat(12_000), 0, "does not parse"));
        cases.add(safetensors("tensors beyond the file", TENSOR.length(), TENSOR, 3, "it is truncated"));
        cases.add(safetensors("more bytes than tensors", TENSOR.length(), TENSOR, 5, "has 5 bytes of data"));
        cases.add(safetensors(
                "a tensor larger than memory",
                -2,
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296]," + "\"data_offsets\":[0,4]}}",
                4,
                "larger than any memory"));
        return cases;
    }

    private Case model(String name, String file, Change change, String... message) {
        return new Case(name, () -> load(change(unlisted(save()), file, change)), CorruptFileException.class, message);
    }

    /** Of a saved model, whose other files are as they were. */
    private Case manifest(String name, Change change, String... message) {
        return new Case(name, () -> load(change(save(), Manifest.NAME, change)), IOException.class, message);
    }

    /** Of a checkpoint whose manifest lists the file as it became. */
    private Case run(String name, Change change, String... message) {
        return new Case(
                name,
                () -> {
                    Path workdir = checkpoint();
                    Path checkpoint = workdir.resolve("step_00000002");
                    change(checkpoint, "run.json", change);
                    rewriteManifest(checkpoint);
                    resume(workdir, 4);
                },
                CorruptFileException.class,
                message);
    }

    /** @param length of the header, as the file claims; -2 for as it is */
    private Case safetensors(String name, long length, String header, int data, String... message) {
        return new Case(
                name,
                () -> {
                    Path file = next();
                    byte[] json = header.getBytes(StandardCharsets.UTF_8);
                    try (var out = new RandomAccessFile(file.toFile(), "rw")) {
                        out.writeLong(Long.reverseBytes(length == -2 ? json.length : length));
                        out.write(json);
                        out.write(new byte[data]);
                    }
                    Safetensors.open(file).close();
                },
                CorruptFileException.class,
                message);
    }

    private Path next() throws IOException {
        return Files.createDirectories(directory).resolve("case-" + count++);
    }

    private Path save() throws IOException {
        Path saved = next();
        try (var model = DecoderModel.create(SIZES, 1)) {
            model.save(saved);
        }
        return saved;
    }

    private static Path unlisted(Path saved) throws IOException {
        Files.delete(saved.resolve(Manifest.NAME));
        return saved;
    }

    private static Path change(Path saved, String file, Change change) throws IOException {
        Path path = saved.resolve(file);
        byte[] bytes = Files.readAllBytes(path);
        String text = new String(bytes, StandardCharsets.ISO_8859_1);
        String changed = change.of(text);
        if (changed.equals(text)) {
            throw new AssertionError(file + " has nothing to change: " + text);
        }
        Files.write(path, changed.getBytes(StandardCharsets.ISO_8859_1));
        return saved;
    }

    /** Without its bytes on disk. */
    private static Path sparse(Path saved, String file) throws IOException {
        try (var out = new RandomAccessFile(saved.resolve(file).toFile(), "rw")) {
            out.setLength(3L << 30);
        }
        return saved;
    }

    private static void load(Path saved) throws IOException {
        LanguageModel.load(saved).close();
    }

    /** A run's directory with a checkpoint of step 2. */
    private Path checkpoint() throws IOException {
        Path workdir = next();
        try (var model = DecoderModel.create(SIZES, 1);
                var trainer = trainer(model, workdir, 2)) {
            trainer.run();
        }
        return workdir;
    }

    private static void resume(Path workdir, long steps) throws IOException {
        try (var model = DecoderModel.create(SIZES, 1);
                var trainer = trainer(model, workdir, steps)) {
            trainer.resume();
        }
    }

    private static Trainer trainer(LanguageModel model, Path workdir, long steps) {
        return Trainer.of(model)
                .data(PackedDataset.of(TextSource.of("a few words to learn from"))
                        .length(8)
                        .batch(2))
                .steps(steps)
                .checkpoints(workdir)
                .build();
    }

    private static void rewriteManifest(Path checkpoint) throws IOException {
        String manifest = Files.readString(checkpoint.resolve(Manifest.NAME));
        byte[] bytes = Files.readAllBytes(checkpoint.resolve("run.json"));
        String entry = "\"run.json\" : { \"length\" : %d, \"sha256\" : \"%s\" }".formatted(bytes.length, sha256(bytes));
        Files.writeString(
                checkpoint.resolve(Manifest.NAME), manifest.replaceFirst("(?s)\"run.json\" : \\{.*?\\}", entry));
    }

    private static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }
}
