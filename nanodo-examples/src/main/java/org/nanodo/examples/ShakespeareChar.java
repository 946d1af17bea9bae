package org.nanodo.examples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.nanodo.data.PackedDataset;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.Schedule;
import org.nanodo.source.TextSource;
import org.nanodo.tokenizer.Tokenizer;
import org.nanodo.train.Trainer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The run for a CPU that nanoGPT's README describes, for comparison. */
@Command(
        name = "ShakespeareChar",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description =
                "nanoGPT's character-level CPU run: 4 blocks, D=128, 64 characters of context, 12 rows per batch, and AdamW "
                        + "with a learning rate of 1e-3 down to 1e-4. Its README gives a validation loss of 1.88.")
public final class ShakespeareChar implements Callable<Integer> {
    @Option(names = "--train", required = true, paramLabel = "FILE", description = "The training text.")
    private Path train;

    @Option(names = "--validation", required = true, paramLabel = "FILE", description = "The validation text.")
    private Path validation;

    @Option(names = "--steps", description = "The number of updates.")
    private long steps = 2000;

    @Option(names = "--seed", description = "The seed of parameters and data order.")
    private long seed = 1;

    public static void main(String[] args) {
        Examples.main(new ShakespeareChar(), args);
    }

    @Override
    public Integer call() throws IOException {
        PackedDataset rows =
                PackedDataset.of(TextSource.files(train)).length(64).batch(12).shuffle(seed);
        var tokenizer = Tokenizer.characters(Files.readString(train) + Files.readString(validation));
        var config = TransformerConfig.builder()
                .D(128)
                .H(4)
                .L(64)
                .N(4)
                .F(512)
                .V(tokenizer.vocabSize())
                .build();
        long start = System.nanoTime();
        try (var model = DecoderModel.create(config, seed);
                var progress = new Progress(steps);
                var trainer = Trainer.of(model)
                        .data(rows.tokenizer(tokenizer))
                        .optimizer(
                                AdamW.with().b2(0.99).eps(1e-8).weightDecay(0.1).decays(name -> !name.contains("norm")))
                        .schedule(Schedule.warmupCosine(0, 1e-3, 1e-4, Math.min(100, steps), steps))
                        .clip(1)
                        .steps(steps)
                        .evaluate(
                                PackedDataset.of(TextSource.files(validation))
                                        .tokenizer(tokenizer)
                                        .length(64)
                                        .batch(64),
                                250)
                        .listen(progress)
                        .build()) {
            progress.startFrom(0);
            trainer.run();
        }
        System.out.printf("%.1f seconds%n", (System.nanoTime() - start) / 1e9);
        return 0;
    }
}
