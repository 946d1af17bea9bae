package org.nanodo.distributed;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.data.Batch;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelUse;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Timeline;
import org.nanodo.train.Engine;
import org.nanodo.train.MicroBatch;

/**
 * Fully sharded data parallelism: stage 3 of ZeRO (Rajbhandari et al. 2020). Each of W ranks keeps a W-th of the parameters,
 * the gradients and the optimizer's state, and computes its own rows of each batch. A block is gathered before it is used, in
 * the forward and again in the backward pass, and freed afterwards, while its neighbour is being gathered. Its gradients are
 * summed over the ranks in float32, and each rank keeps its part. All ranks must call the same methods in the same order.
 *
 * <pre>{@code
 * try (var fsdp = Fsdp.of(ranks).shard(model);
 *      var trainer = Trainer.of(model).engine(fsdp)….build()) { … }
 * }</pre>
 */
public final class Fsdp implements Engine, AutoCloseable {
    /**
     * The options of sharding.
     *
     * @param reshardAfterForward whether blocks are freed after the forward pass, which saves memory and costs one more
     *     all-gather of each
     * @param prefetch whether the next unit is gathered while the current one computes
     * @param reduceEachBatch whether the gradients of each micro-batch are summed over the ranks immediately; otherwise each
     *     rank accumulates them whole until the last micro-batch, which saves traffic but keeps all gradients in memory
     * @param timeline records computation, collectives and waiting
     */
    public record Options(
            Collectives ranks,
            boolean reshardAfterForward,
            boolean prefetch,
            boolean reduceEachBatch,
            Timeline timeline) {
        public Options reshardAfterForward(boolean reshards) {
            return new Options(ranks, reshards, prefetch, reduceEachBatch, timeline);
        }

        public Options prefetch(boolean prefetches) {
            return new Options(ranks, reshardAfterForward, prefetches, reduceEachBatch, timeline);
        }

        public Options reduceEachBatch(boolean reduces) {
            return new Options(ranks, reshardAfterForward, prefetch, reduces, timeline);
        }

        public Options timeline(Timeline timeline) {
            return new Options(ranks, reshardAfterForward, prefetch, reduceEachBatch, timeline);
        }

        /** Keeps this rank's part of the model's parameters. The model's own tensors have memory only while they are gathered. */
        public Fsdp shard(LanguageModel model) {
            return new Fsdp(model, this);
        }
    }

    /** Keeps all parameters in memory until it is closed. */
    public interface Gathered extends AutoCloseable {
        @Override
        void close();
    }

    /**
     * The number of elements that this rank has received from others so far, padding included.
     *
     * @param gathered elements of parameters
     * @param reduced elements of gradients
     */
    public record Traffic(long gathered, long reduced) {}

    private final Collectives ranks;
    private final ShardSchedule units;
    private final Engine local;
    private boolean closed;

    private Fsdp(LanguageModel model, Options options) {
        ranks = options.ranks;
        units = new ShardSchedule(model, options);
        local = Engine.of(model, units);
    }

    /** Returns the default options: resharding after the forward pass, prefetch, and a reduction after each micro-batch. */
    public static Options of(Collectives ranks) {
        return new Options(ranks, true, true, true, Timeline.NONE);
    }

    @Override
    public Collectives ranks() {
        return ranks;
    }

    @Override
    public void begin(int batches) {
        units.begin(batches);
    }

    @Override
    public Tensor lossAndGradients(MicroBatch micro) {
        units.nextBatch();
        return local.lossAndGradients(micro);
    }

    @Override
    public float[] tokenLosses(Batch batch) {
        return local.tokenLosses(batch);
    }

    @Override
    public List<Parameter> parameters() {
        return units.all().stream().flatMap(Unit::parts).toList();
    }

    @Override
    public Tensor globalNorm() {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            Tensor[] norms =
                    units.all().stream().map(unit -> unit.gradients().norm()).toArray(Tensor[]::new);
            Tensor squares = torch.stack(new TensorVector(norms)).square().sum();
            ranks.allReduce(squares).await();
            return scope.export(squares.sqrt());
        }
    }

    @Override
    public void clearGradients() {
        units.clear();
    }

    /**
     * Gathers the whole model on every rank, for example to generate text: {@code try (var whole = fsdp.gather()) { … }}. Until
     * it is closed, each rank may use the model in any way but train it.
     */
    public Gathered gather() {
        return units.gatherAll();
    }

    public Traffic traffic() {
        return units.traffic();
    }

    /**
     * Frees this rank's part, after which the model cannot be used. Has no effect if already closed.
     *
     * @throws IllegalStateException if another thread trains the model or infers with it
     */
    @Override
    public void close() {
        if (!closed) {
            try (var use = ModelUse.training(parameters())) {
                units.all().forEach(Unit::close);
                closed = true;
            }
        }
    }
}
