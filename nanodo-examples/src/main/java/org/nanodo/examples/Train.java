package org.nanodo.examples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.nanodo.config.ConfigReader;
import org.nanodo.config.TrainConfig;
import org.nanodo.config.TrainRun;
import org.nanodo.runtime.Natives;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Runs a config, like NanoDO's {@code main.py}; under a launcher, as one of several ranks. */
@Command(
        name = "Train",
        mixinStandardHelpOptions = true,
        description = "Trains as a config describes. A run that was interrupted resumes from its last checkpoint.")
public final class Train implements Callable<Integer> {
    @Option(
            names = "--config",
            paramLabel = "FILE",
            description =
                    "JSON or YAML with the values that differ from the defaults, which are NanoDO's; see --print.")
    private Path file;

    @Option(
            names = "--set",
            paramLabel = "KEY=VALUE",
            description =
                    "Overrides a value, as in --set model.D=256 --set opt.peak_learning_rate=0.003. Values are JSON or strings; "
                            + "for a key whose value is a string they are not parsed.")
    private String[] overrides = {};

    @Option(names = "--print", description = "Print the whole config instead of running it.")
    private boolean print;

    public static void main(String[] args) {
        Examples.main(new Train(), args);
    }

    private static void tellEnd(long step, TrainConfig config) {
        long steps = config.opt().numTrainSteps();
        if (step < steps) {
            System.out.printf(
                    "Ended after %d of %d steps: it was stopped%s%n",
                    step, steps, config.trainEpochs() == null ? "" : ", or train_epochs are over");
        }
    }

    @Override
    public Integer call() throws IOException {
        TrainConfig config = file == null ? ConfigReader.of(overrides) : ConfigReader.read(file, overrides);
        if (print) {
            System.out.println(config);
            return 0;
        }
        try (var progress = new Progress(config.opt().numTrainSteps());
                var run = TrainRun.of(config, progress)) {
            if (run.isFirstRank()) {
                System.out.println(Natives.describe());
                System.out.printf(
                        "Model: %,d parameters. Checkpoints and metrics: %s%n",
                        run.model().parameterCount(), config.workdir());
                if (run.trainer().step() > 0) {
                    System.out.println("Resuming after step " + run.trainer().step());
                }
                progress.startFrom(run.trainer().step());
            }
            run.trainer().run();
            if (run.isFirstRank()) {
                progress.close();
                tellEnd(run.trainer().step(), config);
            }
        }
        return 0;
    }
}
