package org.nanodo.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.nanodo.data.Packing;
import org.nanodo.tokenizer.Tokenizer;

/**
 * All of a run in one tree of values: NanoDO's {@code configs/default.py}, under its names (in JSON with underscores) and with
 * its defaults. What may be null is off or follows from the rest.
 *
 * @param seed of parameters and of the order of the data
 * @param batchSize rows a step over all ranks and micro-batches
 * @param gradAccumulationSteps micro-batches a step
 * @param trainEpochs passes over the data; null for endless
 * @param trainData what to learn from; several sources are mixed by their weights
 * @param shuffleBufferBytes of documents that are shuffled together where files can only be read in order; null for 256 MiB, and
 *     for all lines of plain JSON-lines files together
 * @param evalData what to evaluate on, by name; the name "" gives plain {@code eval_loss}
 * @param evalSplit holds this fraction of the training documents out, as the evaluation data without a name; 0 for none
 * @param vocabPath a SentencePiece model, a {@code tokenizer.json}, or {@code bytes} or {@code gpt2}
 * @param documentMask whether attention stays within documents
 * @param loss the name of a {@link org.nanodo.train.Loss.Named}; null for the model's own, or cross-entropy
 * @param model sizes and kind
 * @param opt optimizer and learning rate
 * @param fsdp how several ranks shard the model
 * @param workdir for checkpoints and metrics
 * @param checkpoint whether to write checkpoints, and go on from them
 * @param checkpointEverySteps besides at the end
 * @param checkpointRestoreDir another run's folder, or one checkpoint, to begin from
 * @param allowChangedData whether to resume though a file of the training data has another size or time than before
 * @param initFrom where a new run's parameters come from, and nothing else: a saved model or checkpoint of the same sizes
 * @param maxToKeep newest checkpoints
 * @param keepEvery checkpoints of steps that this divides stay for good
 * @param checkpointAtStart whether to write one of the untrained model, too
 * @param evalEverySteps besides before the first step and at the end
 * @param evalSteps batches of each evaluation; null for all
 * @param evalBatchSize rows of an evaluation's batch; null for those of a micro-batch
 * @param evalMaxTargetLength only warns where it is more than the model's L, the length of an evaluation's rows, as in NanoDO
 * @param evalPacking {@code padded}: a row has the beginning of one document; {@code noam}: rows as in training
 * @param writeTrainMetricsEverySteps how often a step's metrics are written to files
 * @param writePerfMetricsEverySteps how often its speed is written with them, and all of them are logged
 * @param metricWriters of {@code log}, {@code json_lines} and {@code tensorboard}
 * @param logInternalMetrics rms, mean and standard deviation of gradients, parameters and updates
 * @param peakFlops what a rank's device could do a second, for the metric {@code mfu}
 * @param device {@code cpu}, {@code cuda}, or null for a GPU where there is one
 */
public record TrainConfig(
        long seed,
        int batchSize,
        int gradAccumulationSteps,
        Long trainEpochs,
        List<SourceConfig> trainData,
        Long shuffleBufferBytes,
        Map<String, SourceConfig> evalData,
        double evalSplit,
        String vocabPath,
        boolean documentMask,
        String loss,
        ModelConfig model,
        OptConfig opt,
        FsdpConfig fsdp,
        String workdir,
        boolean checkpoint,
        long checkpointEverySteps,
        String checkpointRestoreDir,
        boolean allowChangedData,
        String initFrom,
        int maxToKeep,
        Long keepEvery,
        boolean checkpointAtStart,
        long evalEverySteps,
        Long evalSteps,
        Integer evalBatchSize,
        int evalMaxTargetLength,
        Packing evalPacking,
        long writeTrainMetricsEverySteps,
        long writePerfMetricsEverySteps,
        List<Writer> metricWriters,
        boolean logInternalMetrics,
        Double peakFlops,
        String device) {

    public TrainConfig {
        Check.given(
                "train_data",
                trainData,
                "eval_data",
                evalData,
                "vocab_path",
                vocabPath,
                "model",
                model,
                "opt",
                opt,
                "fsdp",
                fsdp,
                "workdir",
                workdir,
                "eval_packing",
                evalPacking,
                "metric_writers",
                metricWriters);
        Check.noNulls("train_data", trainData);
        Check.noNulls("eval_data", evalData);
        Check.noNulls("metric_writers", metricWriters);
        Check.notEmpty("workdir", workdir);
        Check.notEmpty("vocab_path", vocabPath);
        Check.notEmpty("checkpoint_restore_dir", checkpointRestoreDir);
        Check.notEmpty("init_from", initFrom);
        Check.positive("batch_size", batchSize);
        Check.positive("grad_accumulation_steps", gradAccumulationSteps);
        Check.positive("checkpoint_every_steps", checkpointEverySteps);
        Check.positive("max_to_keep", maxToKeep);
        Check.positive("keep_every", keepEvery == null ? 1 : keepEvery);
        Check.positive("eval_every_steps", evalEverySteps);
        Check.positive("eval_steps", evalSteps == null ? 1 : evalSteps);
        Check.positive("eval_batch_size", evalBatchSize == null ? 1 : evalBatchSize);
        Check.positive("eval_max_target_length", evalMaxTargetLength);
        Check.positive("train_epochs", trainEpochs == null ? 1 : trainEpochs);
        Check.positive("shuffle_buffer_bytes", shuffleBufferBytes == null ? 1 : shuffleBufferBytes);
        Check.positive("write_train_metrics_every_steps", writeTrainMetricsEverySteps);
        Check.positive("write_perf_metrics_every_steps", writePerfMetricsEverySteps);
        Check.that(evalSplit >= 0 && evalSplit < 1, "eval_split is " + evalSplit + ", it has to be 0 or more, below 1");
        trainData = List.copyOf(trainData);
        evalData = Collections.unmodifiableMap(new LinkedHashMap<>(evalData));
        metricWriters = List.copyOf(metricWriters);
    }

    /** Where metrics go. */
    public enum Writer {
        @JsonProperty("log")
        LOG,
        @JsonProperty("json_lines")
        JSON_LINES,
        @JsonProperty("tensorboard")
        TENSORBOARD
    }

    /** The JSON of {@link ConfigReader}. */
    @Override
    public String toString() {
        return ConfigReader.write(this);
    }

    /** NanoDO's, but for the paths: data has to be named. */
    public static TrainConfig defaults() {
        return new TrainConfig(
                42,
                256,
                1,
                null,
                List.of(),
                null,
                Map.of(),
                0,
                "bytes",
                false,
                null,
                ModelConfig.defaults(),
                OptConfig.defaults(),
                FsdpConfig.defaults(),
                "runs/train",
                true,
                2000,
                null,
                false,
                null,
                100,
                null,
                false,
                100,
                100L,
                null,
                512,
                Packing.PADDED,
                1,
                100,
                List.of(Writer.JSON_LINES, Writer.TENSORBOARD),
                true,
                null,
                null);
    }

    /** @throws IllegalArgumentException if {@code vocabPath} is no tokenizer */
    Tokenizer tokenizer() throws IOException {
        Path file = Path.of(vocabPath);
        if (vocabPath.equals("bytes")) {
            return Tokenizer.bytes();
        } else if (vocabPath.equals("gpt2")) {
            return Tokenizer.gpt2();
        } else if (vocabPath.endsWith(".model")) {
            return Tokenizer.sentencePiece(file);
        } else if (vocabPath.endsWith(".json")) {
            return Tokenizer.huggingFace(file);
        }
        throw new IllegalArgumentException("vocab_path \"" + vocabPath
                + "\" is neither a SentencePiece .model, nor a tokenizer.json, nor bytes, nor gpt2");
    }
}
