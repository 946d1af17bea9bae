package org.nanodo.train;

import java.util.LinkedHashMap;
import java.util.Map;
import org.nanodo.data.Batch;
import org.nanodo.data.PackedDataset;

/**
 * Cross-entropy on held-out text, over all its tokens once.
 *
 * @param everySteps how often the trainer runs it, besides at the end
 */
record Evaluator(PackedDataset data, long everySteps) {
    /** {@code eval_loss} in nats a token, {@code eval_loss_std}, its standard error, and {@code eval_perplexity}. */
    Map<String, Double> evaluate(Engine engine) {
        Average loss = Average.NONE;
        try (var batches = data.epochs(1).iterator()) {
            while (batches.hasNext()) {
                Batch batch = batches.next();
                loss = loss.merge(Average.of(engine.tokenLosses(batch), batch.weights_BxL()));
            }
        }
        var values = new LinkedHashMap<String, Double>();
        values.put("eval_loss", loss.mean());
        values.put("eval_loss_std", loss.standardError());
        values.put("eval_perplexity", Math.exp(loss.mean()));
        return values;
    }
}
