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
 * The config of a training run: NanoDO's {@code configs/default.py}, with its names and defaults. {@code docs/config.md} describes
 * each key, which is the name of a component with underscores. {@link ConfigReader} creates configs.
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
        Check.notEmpty("workdir", workdir);
        Check.notEmpty("vocab_path", vocabPath);
        Check.notEmpty("checkpoint_restore_dir", checkpointRestoreDir);
        Check.notEmpty("init_from", initFrom);
        Check.positive("batch_size", batchSize);
        Check.positive("grad_accumulation_steps", gradAccumulationSteps);
        Check.positive("checkpoint_every_steps", checkpointEverySteps);
        Check.positive("max_to_keep", maxToKeep);
        Check.positive("keep_every", keepEvery);
        Check.positive("eval_every_steps", evalEverySteps);
        Check.positive("eval_steps", evalSteps);
        Check.positive("eval_batch_size", evalBatchSize);
        Check.positive("eval_max_target_length", evalMaxTargetLength);
        Check.positive("train_epochs", trainEpochs);
        Check.positive("shuffle_buffer_bytes", shuffleBufferBytes);
        Check.positive("write_train_metrics_every_steps", writeTrainMetricsEverySteps);
        Check.positive("write_perf_metrics_every_steps", writePerfMetricsEverySteps);
        Check.that(
                evalSplit >= 0 && evalSplit < 1, "eval_split is " + evalSplit + ", it must be at least 0 and below 1");
        trainData = List.copyOf(trainData);
        evalData = Collections.unmodifiableMap(new LinkedHashMap<>(evalData));
        metricWriters = List.copyOf(metricWriters);
    }

    /** Destinations of metrics. */
    public enum Writer {
        @JsonProperty("log")
        LOG,
        @JsonProperty("json_lines")
        JSON_LINES,
        @JsonProperty("tensorboard")
        TENSORBOARD
    }

    /** Returns the JSON that {@link ConfigReader} reads. */
    @Override
    public String toString() {
        return ConfigReader.write(this);
    }

    /** @throws IllegalArgumentException if {@code vocabPath} does not name a tokenizer */
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
