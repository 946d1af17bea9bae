package org.nanodo.train;

import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.data.Batch;
import org.nanodo.data.PackedDataset;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * Cross-entropy on held-out text, over all its tokens once.
 *
 * @param everySteps how often the trainer runs it, besides at the end
 */
record Evaluator(PackedDataset data, long everySteps) {
    /** {@code eval_loss} in nats a token, {@code eval_loss_std}, its standard error, and {@code eval_perplexity}. */
    Map<String, Double> evaluate(Engine engine, Device device) {
        Collectives ranks = engine.ranks();
        Average mine = Average.NONE;
        try (var batches = data.shard(ranks.rank(), ranks.world()).epochs(1).iterator()) {
            while (batches.hasNext()) {
                Batch batch = batches.next();
                mine = mine.merge(Average.of(engine.tokenLosses(batch), batch.weights_BxL()));
            }
        }
        Average loss = ofAll(ranks, device, mine);
        var values = new LinkedHashMap<String, Double>();
        values.put("eval_loss", loss.mean());
        values.put("eval_loss_std", loss.standardError());
        values.put("eval_perplexity", Math.exp(loss.mean()));
        return values;
    }

    private static Average ofAll(Collectives ranks, Device device, Average mine) {
        try (var scope = Scope.open()) {
            double[] table_Wx3 = new double[ranks.world() * 3];
            table_Wx3[ranks.rank() * 3] = mine.count();
            table_Wx3[ranks.rank() * 3 + 1] = mine.mean();
            table_Wx3[ranks.rank() * 3 + 2] = mine.m2();
            Tensor sum_Wx3 = Tensors.doubles(device, table_Wx3, table_Wx3.length);
            ranks.allReduce(sum_Wx3).await(); // of rows that are zero but at their own rank
            double[] all_Wx3 = Tensors.toDoubles(sum_Wx3);
            Average merged = Average.NONE;
            for (int i = 0; i < all_Wx3.length; i += 3) {
                merged = merged.merge(new Average(all_Wx3[i], all_Wx3[i + 1], all_Wx3[i + 2]));
            }
            return merged;
        }
    }
}
