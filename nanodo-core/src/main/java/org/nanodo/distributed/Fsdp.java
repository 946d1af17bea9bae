package org.nanodo.distributed;

import java.util.ArrayList;
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
import org.nanodo.train.BlockWalk;
import org.nanodo.train.Engine;
import org.nanodo.train.Loss;
import org.nanodo.train.StepClock;

/**
 * Fully sharded data parallelism: ZeRO's third stage (Rajbhandari et al. 2020). Of W ranks each keeps a W-th of parameters,
 * gradients and the optimizer's state, and computes its own rows of each batch. A block is gathered before it is used and
 * freed after, forward and again backward, while its neighbour is on the way; its gradients are summed over the ranks in
 * float32, each rank keeping its part. All ranks call the same methods in the same order.
 *
 * <pre>{@code
 * try (var fsdp = Fsdp.of(ranks).shard(model);
 *      var trainer = Trainer.of(model).engine(fsdp)….build()) { … }
 * }</pre>
 */
public final class Fsdp implements Engine, AutoCloseable {
    /**
     * How to shard.
     *
     * @param reshardAfterForward whether blocks are freed after the forward pass: less memory, one more all-gather of each
     * @param prefetch whether the next unit is gathered while this one computes
     * @param reduceEachBatch whether each micro-batch's gradients are summed over the ranks as soon as they are there; otherwise
     *     they add up whole on each rank until the last: less traffic, but all gradients in memory
     * @param timeline where to record what runs when
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

        /** Keeps this rank's part of the model's parameters, and leaves them without memory but where the engine gathers them. */
        public Fsdp shard(LanguageModel model) {
            return new Fsdp(model, this);
        }
    }

    /** All parameters are in memory until this is closed. */
    public interface Gathered extends AutoCloseable {
        @Override
        void close();
    }

    /**
     * Elements that this rank has received from others since the beginning, padding included.
     *
     * @param gathered of parameters
     * @param reduced of gradients
     */
    public record Traffic(long gathered, long reduced) {}

    private final Collectives ranks;
    private final ShardSchedule units;
    private final BlockWalk walk;
    private boolean closed;

    private Fsdp(LanguageModel model, Options options) {
        ranks = options.ranks;
        units = new ShardSchedule(model, options);
        walk = new BlockWalk(model, units);
    }

    /** Frees blocks after the forward pass, prefetches, and reduces each micro-batch, until said otherwise. */
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
    public Tensor lossAndGradients(Batch batch, Loss loss, StepClock clock) {
        units.nextBatch();
        return walk.lossAndGradients(batch, loss, clock);
    }

    @Override
    public float[] tokenLosses(Batch batch) {
        return walk.tokenLosses(batch);
    }

    @Override
    public List<Parameter> parameters() {
        return units.all().stream()
                .flatMap(unit -> unit.shards().stream())
                .map(Shard::part)
                .toList();
    }

    @Override
    public Tensor globalNorm() {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            var norms = new ArrayList<Tensor>();
            for (Unit unit : units.all()) {
                norms.add(unit.gradients().norm());
            }
            Tensor squares = torch.stack(new TensorVector(norms.toArray(Tensor[]::new)))
                    .square()
                    .sum();
            ranks.allReduce(squares).await();
            return scope.export(squares.sqrt());
        }
    }

    @Override
    public void clearGradients() {
        units.clear();
    }

    /**
     * Gathers the whole model on every rank, for generation, say: {@code try (var whole = fsdp.gather()) { … }}. In between,
     * every rank may do with the model what it likes, but not train.
     */
    public Gathered gather() {
        return units.gatherAll();
    }

    public Traffic traffic() {
        return units.traffic();
    }

    /**
     * Frees this rank's part. The model cannot be used afterwards. Closing it again does nothing.
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
