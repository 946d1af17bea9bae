package org.nanodo.examples;

import java.io.IOException;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.nanodo.data.PackedDataset;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.TransformerConfig;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.Schedule;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Natives;
import org.nanodo.source.TextSource;
import org.nanodo.tokenizer.Tokenizer;
import org.nanodo.train.Trainer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Trains a small byte-level model on real text and samples from it. */
@Command(
        name = "TrainJava",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description = "Trains a byte-level model on Java source code, or on a text of your own, and prints a sample. "
                + "A run that was interrupted resumes from its last checkpoint.")
public final class TrainJava implements Callable<Integer> {
    @Option(
            names = "--data",
            paramLabel = "PATH",
            description = "A text file or a directory of text files. Default: the sources of AssertJ, 6.9 MB of Java.")
    private Path data;

    @Option(names = "--workdir", paramLabel = "DIR", description = "The directory of checkpoints.")
    private Path workdir = Path.of("runs", "train-java");

    @Option(names = "--fresh", description = "Start a new run in a new directory, whatever --workdir contains.")
    private boolean fresh;

    @Option(names = "--steps", description = "The number of updates.")
    private long steps = 1000;

    @Option(
            names = "--model",
            paramLabel = "NAME",
            description = "The kind of model; the message for an unknown one lists all.")
    private String kind = "nanodo";

    @Option(names = "-D", paramLabel = "D", description = "Model width.")
    private int D = 128;

    @Option(names = "-H", paramLabel = "H", description = "Attention heads; must divide D.")
    private int H = 4;

    @Option(names = "-N", paramLabel = "N", description = "Blocks.")
    private int N = 4;

    @Option(names = "-L", paramLabel = "L", description = "Context length in bytes.")
    private int L = 128;

    @Option(names = "-B", paramLabel = "B", description = "Rows per batch.")
    private int B = 16;

    @Option(names = "--learning-rate", description = "Peak of the schedule: warmup, then a cosine down to a tenth.")
    private double learningRate = 3e-3;

    @Option(names = "--seed", description = "The seed of parameters, data order and the sample.")
    private long seed = 42;

    @Option(names = "--prompt", description = "The text that the sample continues.")
    private String prompt = "public class ";

    public static void main(String[] args) {
        Examples.main(new TrainJava(), args);
    }

    @Override
    public Integer call() throws IOException {
        if (fresh) {
            workdir = Files.createTempDirectory(
                    Files.createDirectories(workdir.toAbsolutePath().getParent()), "train-");
        }
        var tokenizer = Tokenizer.bytes();
        var text = source().split(0.02, seed);
        var config = TransformerConfig.builder()
                .D(D)
                .H(H)
                .L(L)
                .N(N)
                .F(4 * D)
                .V(tokenizer.vocabSize())
                .build();
        System.out.println(Natives.describe());
        System.out.printf(
                "Text: %d documents to learn from, %d held out%n",
                text.train().size(), text.validation().size());
        try (var model = ModelFactory.named(kind).create(config, seed, Device.cpu());
                var progress = new Progress(steps);
                var trainer = Trainer.of(model)
                        .data(PackedDataset.of(text.train())
                                .tokenizer(tokenizer)
                                .length(L)
                                .batch(B)
                                .shuffle(seed))
                        .optimizer(AdamW.with().decays(name -> !name.matches(".*(norm|ln_|bias).*")))
                        .schedule(Schedule.warmupCosine(
                                learningRate / 10, learningRate, learningRate / 10, steps / 20, steps))
                        .clip(1)
                        .steps(steps)
                        .evaluate(
                                PackedDataset.of(text.validation())
                                        .tokenizer(tokenizer)
                                        .length(L)
                                        .batch(4 * B),
                                Math.max(1, steps / 4))
                        .checkpoints(workdir, Math.max(1, steps / 4), 2)
                        .listen(progress)
                        .build()) {
            System.out.printf("Model: %,d parameters. Checkpoints: %s%n", model.parameterCount(), workdir);
            trainer.resume();
            progress.startFrom(trainer.step());
            trainer.run();
            progress.close();
            if (trainer.step() == steps) {
                System.out.println("\nA sample at temperature 0.8:\n");
                System.out.print(prompt);
                model.generate(tokenizer, prompt)
                        .temperature(0.8)
                        .seed(seed)
                        .maxTokens(400)
                        .listen(System.out::print)
                        .text();
                System.out.println();
            }
        }
        return 0;
    }

    private TextSource source() throws IOException {
        if (data == null) {
            return TextSource.archive(assertjSources()).matching(name -> name.endsWith(".java"));
        }
        TextSource files = TextSource.files(data);
        if (files.size() > 1) {
            return files;
        }
        Path file = Path.of(files.name(0)); // cut into sections, so that some can be held out
        return TextSource.sections(file, (int) Math.max(1, Math.min(1 << 14, Files.size(file) / 50)));
    }

    /** Returns the jar that Maven has put on the class path. */
    private static Path assertjSources() throws IOException {
        URL resource = TrainJava.class.getResource("/org/assertj/core/api/Assertions.java");
        if (resource == null) {
            throw new IllegalStateException(
                    "The sources of org.assertj:assertj-core are not on the class path: run through Maven, or use --data");
        }
        return Path.of(
                ((JarURLConnection) resource.openConnection()).getJarFile().getName());
    }
}
