package org.nanodo.train;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.nanodo.data.PackedDataset;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.BlockModel;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;

/** The metrics of each training step, by NanoDO's names. */
final class StepMetrics {
    private final LanguageModel model;
    private final PackedDataset data;
    private final long steps;
    private final double peakFlops; // of all ranks together; NaN if unknown
    private final long start = System.nanoTime();
    private double tokensSeen;

    StepMetrics(TrainerBuilder options, int world) {
        model = options.model;
        data = options.data;
        steps = options.steps;
        peakFlops = options.peakFlops * world;
    }

    /** Returns the number of targets trained on since the run's beginning. */
    double tokensSeen() {
        return tokensSeen;
    }

    void resumeFrom(double tokensSeen) {
        this.tokensSeen = tokensSeen;
    }

    /** Computes the metrics of a step, whose tokens it counts. */
    Metrics of(TrainStep.Started step, TrainStep.Sums sums) {
        double tokens = sums.weight();
        double divisor = tokens == 0 ? 1 : tokens; // a step of padding alone has a loss of 0
        double norm = sums.norm() / divisor; // of the mean loss's gradient
        var values = new LinkedHashMap<String, Double>();
        values.put("train_loss", sums.loss() / divisor);
        double crossEntropy = sums.measured().get(Measurements.CROSS_ENTROPY) / divisor;
        values.put(Measurements.CROSS_ENTROPY, crossEntropy);
        values.put("train_perplexity", Math.min(Math.exp(crossEntropy), 1e4));
        values.put("learning_rate", step.learningRate());
        values.put("grads/all/norm", norm);
        values.put("grads/all/rms", norm / Math.sqrt(model.parameterCount()));
        values.put("train_ntokens", tokens);
        values.put("train_fraction", (double) step.step() / steps);
        tokensSeen += tokens;
        values.put("train_tokens_seen", tokensSeen);
        double positions = (double) data.batch() * data.length();
        values.put("total_flops", model.flopsPerToken() * positions * step.step());
        double seconds = step.seconds().values().stream().mapToDouble(s -> s).sum();
        values.put("tokens_per_sec", tokens / seconds);
        values.put("steps_per_sec", 1 / seconds);
        if (!Double.isNaN(peakFlops)) {
            values.put("mfu", model.flopsPerToken() * positions / seconds / peakFlops);
        }
        values.putAll(step.seconds());
        values.put("uptime", (System.nanoTime() - start) / 1e9);
        if (step.step() == 1) {
            countParameters(values);
        }
        sums.measured().forEach((name, sum) -> values.putIfAbsent(name, sum / divisor));
        if (step.internal() != null) {
            step.internal().read(tokens).forEach(values::putIfAbsent);
        }
        return new Metrics(step.step(), values);
    }

    private void countParameters(Map<String, Double> values) {
        List<Parameter> root = model.parameters();
        double all = model.parameterCount();
        double head = 0;
        if (model instanceof BlockModel blocks) {
            root = blocks.rootParameters();
            Parameter outEmbed = blocks.outEmbed();
            head = outEmbed.name().contains("head") ? outEmbed.numel() : 0; // NanoDO's test; otherwise it is tied
        }
        double embedding = -head;
        for (Parameter parameter : root) {
            embedding += parameter.shape().length > 1 ? parameter.numel() : 0;
        }
        for (Parameter parameter : model.parameters()) {
            values.put("n_params/" + parameter.name(), (double) parameter.numel());
        }
        values.put("n_params/all", all);
        values.put("n_params/embedding", embedding);
        values.put("n_params/non_embedding", all - embedding);
        if (head > 0) {
            values.put("n_params/head", head);
            values.put("n_params/non_embedding_head", all - embedding - head);
        }
    }
}
