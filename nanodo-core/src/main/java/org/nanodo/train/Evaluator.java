package org.nanodo.train;

import java.util.LinkedHashMap;
import java.util.Map;
import org.nanodo.data.Batch;
import org.nanodo.data.PackedDataset;
import org.nanodo.data.TextSize;
import org.nanodo.metrics.Average;
import org.nanodo.runtime.Agreement;
import org.nanodo.source.TextSource;

/**
 * Measures cross-entropy on held-out text, over all its tokens once or over its first batches.
 *
 * @param name prefix of the metrics' names; empty for none
 * @param data the evaluation set, or this rank's shard of it
 * @param everySteps how often the trainer runs it, besides before the first step and at the end
 */
record Evaluator(String name, PackedDataset data, long everySteps) {
    Evaluator shard(int rank, int world) {
        return new Evaluator(name, data.shard(rank, world), everySteps);
    }

    boolean due(long step) {
        return step % everySteps == 0;
    }

    /**
     * Returns metrics by NanoDO's names: {@code eval_loss} in nats per token; {@code eval_loss_std}, its standard error;
     * {@code eval_loss_uc}, the loss plus three standard errors; the same with {@code _bpB} in bits per byte; and
     * {@code eval_perplexity}.
     *
     * @param maxBatches the number of batches, over all ranks, to evaluate at most
     */
    Map<String, Double> evaluate(Engine engine, Agreement agreement, long maxBatches) {
        Average mine = Average.NONE;
        TextSize text;
        try (var batches = data.epochs(1).iterator()) {
            for (long i = 0; i < maxBatches && batches.hasNext(); i++) {
                Batch batch = batches.next();
                mine = mine.merge(Average.of(engine.tokenLosses(batch), batch.weights_BxL()));
            }
            text = batches.textSize();
        }
        Average loss = Average.NONE;
        for (double[] rank : agreement.gather(mine.count(), mine.mean(), mine.m2())) {
            loss = loss.merge(new Average(rank[0], rank[1], rank[2]));
        }
        if (loss.count() == 0) {
            throw new IllegalArgumentException("The evaluation set" + (name.isEmpty() ? "" : " \"" + name + "\"")
                    + " has no token to predict: it must have a document with text");
        }
        var values = new LinkedHashMap<String, Double>();
        put(values, "", 1, loss);
        if (text.bytes() > 0 && isText()) {
            double bitsPerNat = 1 / Math.log(2);
            put(values, "_bpB", bitsPerNat * text.targets() / text.bytes(), loss);
        }
        values.put(prefix() + "eval_perplexity", Math.exp(loss.mean()));
        return values;
    }

    private void put(Map<String, Double> values, String unit, double scale, Average loss) {
        values.put(prefix() + "eval_loss" + unit, loss.mean() * scale);
        values.put(prefix() + "eval_loss_std" + unit, loss.standardError() * scale);
        values.put(prefix() + "eval_loss_uc" + unit, (loss.mean() + 3 * loss.standardError()) * scale);
    }

    private boolean isText() {
        return data.mixture().parts().stream().allMatch(part -> part.source() instanceof TextSource);
    }

    private String prefix() {
        return name.isEmpty() ? "" : name + "/";
    }
}
