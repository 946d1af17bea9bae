package org.nanodo.config;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.nanodo.checkpoint.RunLock;
import org.nanodo.data.Mixture;
import org.nanodo.data.PackedDataset;
import org.nanodo.distributed.Rendezvous;
import org.nanodo.metrics.MetricWriter;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFiles;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.source.DocumentSource;
import org.nanodo.source.TextSource;
import org.nanodo.source.TokenSource;
import org.nanodo.tokenizer.Tokenizer;
import org.nanodo.train.Loss;
import org.nanodo.train.Trainer;
import org.nanodo.train.TrainerBuilder;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The training run that a {@link TrainConfig} describes: NanoDO's {@code train_and_evaluate}. In a process that a launcher has
 * started as one of several ranks, it is that rank's part of the run.
 *
 * <pre>{@code
 * try (var run = TrainRun.of(ConfigReader.read(file, "model.D=256"))) {
 *   run.trainer().run();
 * }
 * }</pre>
 */
public final class TrainRun implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(TrainRun.class);
    private static final Duration COLLECTIVE_TIMEOUT = Duration.ofMinutes(10);

    private final TrainConfig config;
    private final Consumer<Metrics> listener;
    private final Deque<AutoCloseable> opened = new ArrayDeque<>(); // last first
    private Tokenizer tokenizer;
    private Collectives ranks;
    private LanguageModel model;
    private Trainer trainer;

    private TrainRun(TrainConfig config, Consumer<Metrics> listener) {
        this.config = config;
        this.listener = listener;
    }

    /**
     * Builds the run, and resumes from the newest checkpoint if there is one.
     *
     * @throws IllegalArgumentException if values of the config contradict each other
     */
    public static TrainRun of(TrainConfig config) throws IOException {
        return of(config, metrics -> {});
    }

    /** @param listener receives all metrics, on every rank */
    public static TrainRun of(TrainConfig config, Consumer<Metrics> listener) throws IOException {
        var run = new TrainRun(config, listener);
        try {
            run.build();
            return run;
        } catch (IOException | RuntimeException | Error e) {
            run.close();
            throw e;
        }
    }

    public LanguageModel model() {
        return model;
    }

    public Tokenizer tokenizer() {
        return tokenizer;
    }

    public Trainer trainer() {
        return trainer;
    }

    /** Returns whether this process is the first rank, which prints and writes metrics. */
    public boolean isFirstRank() {
        return ranks.rank() == 0;
    }

    private void build() throws IOException {
        tokenizer = config.tokenizer();
        var meeting = opened(Rendezvous.join(COLLECTIVE_TIMEOUT));
        Device device = device(meeting);
        ranks = opened(meeting.collectives(device));
        Check.that(
                config.batchSize() % (config.gradAccumulationSteps() * ranks.world()) == 0,
                "batch_size " + config.batchSize() + " is not divisible by grad_accumulation_steps "
                        + config.gradAccumulationSteps() + " times " + ranks.world() + " ranks");
        model = opened(config.model().create(tokenizer.vocabSize(), config.seed(), device));
        config.opt().checkNames(model.parameters());
        TrainerBuilder builder = builder();
        List<Parameter> parameters = model.parameters();
        if (ranks.world() > 1) {
            var fsdp = opened(config.fsdp().of(ranks).shard(model));
            builder.engine(fsdp);
            parameters = fsdp.parameters();
        }
        if (ranks.rank() == 0) {
            if (!config.checkpoint()) { // otherwise the checkpoint store locks the workdir
                opened(RunLock.take(Path.of(config.workdir())));
            }
            writers(builder);
        }
        trainer = opened(builder.build());
        if (config.checkpointRestoreDir() != null) {
            trainer.restoreFrom(Path.of(config.checkpointRestoreDir()));
        } else {
            trainer.resume();
        }
        if (trainer.step() == 0 && config.initFrom() != null) {
            initialise(parameters, ModelFiles.find(Path.of(config.initFrom())));
        }
        if (ranks.rank() == 0) { // only now: a run that is refused must not change another run's config
            writeConfig();
        }
    }

    /** Reads the parameters, and nothing else, of a saved model. */
    private void initialise(List<Parameter> parameters, Path saved) throws IOException {
        Check.that(
                ModelFiles.hasTokenizer(saved, tokenizer),
                "init_from " + saved + " was trained with another tokenizer than vocab_path " + config.vocabPath());
        ModelFiles.loadInto(model, parameters, saved);
    }

    private void writeConfig() throws IOException {
        Path file = Path.of(config.workdir()).resolve("train_config.json");
        Path unfinished = file.resolveSibling("train_config.json.unfinished");
        try {
            Files.writeString(unfinished, config + "\n");
            Files.move(unfinished, file, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new IOException(file + " cannot be written: " + e, e);
        } finally {
            Files.deleteIfExists(unfinished);
        }
    }

    private Device device(Rendezvous meeting) {
        if (config.device() == null) {
            return meeting.device();
        }
        return switch (config.device()) {
            case "cpu" -> Device.cpu();
            case "cuda" -> Device.cuda(meeting.localRank());
            default -> throw new IllegalArgumentException("device \"" + config.device() + "\" is neither cpu nor cuda");
        };
    }

    private TrainerBuilder builder() throws IOException {
        OptConfig opt = config.opt();
        TrainerBuilder builder = Trainer.of(model)
                .accumulate(config.gradAccumulationSteps())
                .optimizer(opt.rule())
                .schedule(opt.schedule())
                .steps(opt.numTrainSteps())
                .allowChangedData(config.allowChangedData())
                .checkpointAtStart(config.checkpointAtStart())
                .listen(listener)
                .internalMetrics(config.logInternalMetrics() ? config.writeTrainMetricsEverySteps() : Long.MAX_VALUE);
        Optional.ofNullable(config.loss()).map(Loss::named).ifPresent(builder::loss);
        Optional.ofNullable(opt.clipByGlobalNorm()).ifPresent(builder::clip);
        Optional.ofNullable(config.evalSteps()).ifPresent(builder::evalSteps);
        Optional.ofNullable(config.keepEvery()).ifPresent(builder::keepEvery);
        Optional.ofNullable(config.peakFlops()).ifPresent(builder::peakFlops);
        if (config.checkpoint()) {
            builder.checkpoints(Path.of(config.workdir()), config.checkpointEverySteps(), config.maxToKeep());
        }
        data(builder);
        return builder;
    }

    private void data(TrainerBuilder builder) throws IOException {
        boolean evaluates = config.evalSplit() > 0 || !config.evalData().isEmpty();
        if (evaluates && ranks.rank() == 0 && config.model().L() < config.evalMaxTargetLength()) {
            log.warn(
                    "Evaluation rows have model.L = {} tokens, although eval_max_target_length is {}",
                    config.model().L(),
                    config.evalMaxTargetLength());
        }
        Check.that(
                !config.trainData().isEmpty(),
                "No train_data: name at least one source, as in --set 'train_data=[{\"path\":\"corpus\"}]'");
        Mixture mixture = null;
        if (config.evalSplit() > 0) {
            String otherwise = "eval_split requires a single source of texts: otherwise, name eval_data";
            Check.that(config.trainData().size() == 1, otherwise);
            DocumentSource source = config.trainData().get(0).open();
            Check.that(source instanceof TextSource, otherwise);
            var split = ((TextSource) source).split(config.evalSplit(), config.seed());
            mixture = Mixture.of(split.train(), 1);
            evaluate(builder, "", PackedDataset.of(split.validation()));
        } else {
            for (SourceConfig source : config.trainData()) {
                mixture = source.mixedInto(mixture);
            }
        }
        Check.that(
                !config.vocabPath().equals("bytes")
                        || mixture.parts().stream().noneMatch(part -> part.source() instanceof TokenSource),
                "train_data contains tokens, which the byte tokenizer cannot have written: name their tokenizer as vocab_path");
        for (var set : config.evalData().entrySet()) {
            evaluate(builder, set.getKey(), PackedDataset.of(set.getValue().open()));
        }
        PackedDataset data = PackedDataset.of(mixture)
                .tokenizer(tokenizer)
                .length(config.model().L())
                .batch(config.batchSize())
                .epochs(config.trainEpochs() == null ? PackedDataset.ENDLESS : config.trainEpochs())
                .documentMask(config.documentMask())
                .shuffle(config.seed());
        builder.data(config.shuffleBufferBytes() == null ? data : data.shuffleBuffer(config.shuffleBufferBytes()));
    }

    private void evaluate(TrainerBuilder builder, String name, PackedDataset data) {
        int rows = config.evalBatchSize() == null
                ? config.batchSize() / config.gradAccumulationSteps()
                : config.evalBatchSize();
        builder.evaluate(
                name,
                data.tokenizer(tokenizer).length(config.model().L()).batch(rows).packing(config.evalPacking()),
                config.evalEverySteps());
    }

    private void writers(TrainerBuilder builder) {
        Path workdir = Path.of(config.workdir());
        long every = config.writeTrainMetricsEverySteps();
        long speedEvery = config.writePerfMetricsEverySteps();
        for (TrainConfig.Writer kind : config.metricWriters()) {
            builder.write(
                    switch (kind) {
                        case LOG -> MetricWriter.log().every(speedEvery);
                        case JSON_LINES ->
                            MetricWriter.jsonLines(workdir.resolve("metrics.jsonl"))
                                    .every(every)
                                    .speedEvery(speedEvery);
                        case TENSORBOARD ->
                            MetricWriter.tensorBoard(workdir).every(every).speedEvery(speedEvery);
                    });
        }
    }

    private <T extends AutoCloseable> T opened(T resource) {
        opened.push(resource);
        return resource;
    }

    @Override
    public void close() {
        while (!opened.isEmpty()) {
            try {
                opened.pop().close();
            } catch (Exception e) { // the others must be closed too
                log.error("Closing part of a run failed: {}", e.toString(), e);
            }
        }
    }
}
