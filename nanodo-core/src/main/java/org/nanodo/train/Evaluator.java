package org.nanodo.train;

import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.data.Batch;
import org.nanodo.data.PackedDataset;
import org.nanodo.data.TextSize;
import org.nanodo.metrics.Average;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.source.TextSource;

/**
 * Cross-entropy on held-out text, over all its tokens once or over its first batches.
 *
 * @param name stands before the names of its metrics; empty for none
 * @param everySteps how often the trainer runs it, besides before the first step and at the end
 */
record Evaluator(String name, PackedDataset data, long everySteps) {
    boolean due(long step) {
        return step % everySteps == 0;
    }

    /**
     * By NanoDO's names: {@code eval_loss} in nats a token, {@code eval_loss_std}, its standard error, {@code eval_loss_uc}, three of those
     * above it, the same with {@code _bpB} in bits a byte, and {@code eval_perplexity}.
     *
     * @param batches at most, over all ranks
     */
    Map<String, Double> evaluate(Engine engine, Device device, long batches) {
        Collectives ranks = engine.ranks();
        Average mine = Average.NONE;
        TextSize text;
        try (var rows = data.shard(ranks.rank(), ranks.world()).epochs(1).iterator()) {
            for (long i = 0; i < batches && rows.hasNext(); i++) {
                Batch batch = rows.next();
                mine = mine.merge(Average.of(engine.tokenLosses(batch), batch.weights_BxL()));
            }
            text = rows.textSize();
        }
        Average loss = ofAll(ranks, device, mine);
        if (loss.count() == 0) {
            throw new IllegalArgumentException("The evaluation set" + (name.isEmpty() ? "" : " \"" + name + "\"")
                    + " has no token to predict: it needs a document with text");
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

    private static Average ofAll(Collectives ranks, Device device, Average mine) {
        try (var scope = Scope.open()) {
            double[] table_Wx3 = new double[ranks.world() * 3];
            table_Wx3[ranks.rank() * 3] = mine.count();
            table_Wx3[ranks.rank() * 3 + 1] = mine.mean();
            table_Wx3[ranks.rank() * 3 + 2] = mine.m2();
            Tensor sum_Wx3 = Tensors.doubles(device, table_Wx3, table_Wx3.length);
            ranks.allReduce(sum_Wx3).await(); // of rows that are zero but at their own rank
            ranks.barrier(); // throws if that was aborted
            double[] all_Wx3 = Tensors.toDoubles(sum_Wx3);
            Average merged = Average.NONE;
            for (int i = 0; i < all_Wx3.length; i += 3) {
                merged = merged.merge(new Average(all_Wx3[i], all_Wx3[i + 1], all_Wx3[i + 2]));
            }
            return merged;
        }
    }
}
