package org.nanodo.examples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFiles;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Samples from a checkpoint. */
@Command(
        name = "Generate",
        mixinStandardHelpOptions = true,
        showDefaultValues = true,
        description = "Continues a text with a trained model.")
public final class Generate implements Callable<Integer> {
    @Parameters(
            paramLabel = "DIR",
            defaultValue = "runs/train-java",
            description = "The directory of a checkpoint, or of a run, whose newest checkpoint is used.")
    private Path directory;

    @Option(names = "--prompt", description = "The text to continue.")
    private String prompt = "public class ";

    @Option(names = "--temperature", description = "0 always chooses the likeliest token.")
    private double temperature = 0.8;

    @Option(
            names = "--top-k",
            description = "Sample among the k likeliest tokens only.",
            defaultValue = "2147483647",
            showDefaultValue = picocli.CommandLine.Help.Visibility.NEVER)
    private int topK;

    @Option(names = "--top-p", description = "Sample among the fewest tokens whose probabilities add up to p.")
    private double topP = 1;

    @Option(names = "--seed", description = "The same seed gives the same text.")
    private long seed = 0;

    @Option(names = "--max-tokens", description = "The largest number of tokens to generate.")
    private int maxTokens = 400;

    public static void main(String[] args) {
        Examples.main(new Generate(), args);
    }

    @Override
    public Integer call() throws IOException {
        Path checkpoint = ModelFiles.find(directory);
        var tokenizer = ModelFiles.tokenizer(checkpoint);
        try (var model = LanguageModel.load(checkpoint)) {
            System.out.print(prompt);
            model.generate(tokenizer, prompt)
                    .temperature(temperature)
                    .topK(topK)
                    .topP(topP)
                    .seed(seed)
                    .maxTokens(maxTokens)
                    .listen(text -> {
                        System.out.print(text);
                        System.out.flush();
                    })
                    .tokens();
            System.out.println();
        }
        return 0;
    }
}
