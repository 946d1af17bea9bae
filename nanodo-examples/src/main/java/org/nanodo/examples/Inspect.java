package org.nanodo.examples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.LongStream;
import org.nanodo.checkpoint.TensorSet;
import org.nanodo.files.Manifest;
import org.nanodo.model.ModelFiles;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Shows the contents of a checkpoint and verifies it. */
@Command(
        name = "Inspect",
        mixinStandardHelpOptions = true,
        description = "Verifies a checkpoint and prints its config, step, files and tensors.")
public final class Inspect implements Callable<Integer> {
    @Parameters(
            paramLabel = "DIR",
            description =
                    "The directory of a checkpoint or a saved model, or of a run, whose newest checkpoint is used.")
    private Path directory;

    @Option(names = "--all", description = "List the optimizer's tensors too.")
    private boolean all;

    public static void main(String[] args) {
        Examples.main(new Inspect(), args);
    }

    @Override
    public Integer call() throws IOException {
        Path checkpoint = ModelFiles.find(directory);
        if (Manifest.isIn(checkpoint)) {
            System.out.println(checkpoint + " is whole:");
            Manifest.read(checkpoint)
                    .files()
                    .forEach((name, file) ->
                            System.out.printf("  %-44s %,16d bytes  SHA-256 %s%n", name, file.length(), file.sha256()));
        } else {
            System.out.println(checkpoint + " has no " + Manifest.NAME + ": nothing says whether it is whole");
        }
        Set<String> names = Manifest.names(checkpoint);
        for (String name : List.of("config.json", "run.json")) {
            if (names.contains(name)) {
                System.out.printf("%n%s%n%s", name, Files.readString(checkpoint.resolve(name)));
            }
        }
        print(checkpoint, "model");
        if (all && names.stream().anyMatch(name -> TensorSet.isFile("optimizer", name))) {
            print(checkpoint, "optimizer");
        }
        return 0;
    }

    private static void print(Path checkpoint, String set) throws IOException {
        try (var tensors = TensorSet.open(checkpoint, set)) {
            System.out.printf("%n%s%n", set);
            long numbers = 0;
            for (String name : tensors.names()) {
                long[] shape = tensors.shape(name);
                System.out.printf("  %-32s %s%s%n", name, tensors.type(name), Arrays.toString(shape));
                numbers += LongStream.of(shape).reduce(1, (a, b) -> a * b);
            }
            System.out.printf("  %d tensors, %,d numbers%n", tensors.names().size(), numbers);
        }
    }
}
