package org.nanodo.distributed;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Timeline;
import org.nanodo.train.Residency;

/** The units of a model in the order of the walk, and when each is gathered, freed and reduced. */
final class Units implements Residency {
    private final Fsdp.Options options;
    private final Timeline timeline;
    private final Unit root;
    private final List<Unit> blocks = new ArrayList<>();
    private int batchesLeft;
    private boolean reduces;
    private Unit reducing;
    private long gathered;
    private long reduced;
    private String computing;
    private long since;

    Units(LanguageModel model, Fsdp.Options options) {
        this.options = options;
        this.timeline = options.timeline();
        var inBlocks = new HashSet<Parameter>();
        model.blocks().forEach(block -> inBlocks.addAll(block.parameters()));
        root = unit(
                "root",
                model,
                model.parameters().stream()
                        .filter(parameter -> !inBlocks.contains(parameter))
                        .toList());
        for (int i = 0; i < model.blocks().size(); i++) {
            blocks.add(unit("block " + i, model, model.blocks().get(i).parameters()));
        }
    }

    private Unit unit(String name, LanguageModel model, List<Parameter> parameters) {
        return new Unit(
                name, options.ranks(), model.device(), model.config().dtype().scalarType(), parameters);
    }

    List<Unit> all() {
        var all = new ArrayList<>(List.of(root));
        all.addAll(blocks);
        return all;
    }

    Fsdp.Traffic traffic() {
        return new Fsdp.Traffic(gathered, reduced);
    }

    void begin(int batches) {
        batchesLeft = batches;
    }

    /** A batch that nobody has announced is a step of its own. */
    void nextBatch() {
        batchesLeft = Math.max(0, batchesLeft - 1);
        reduces = options.reduceEachBatch() || batchesLeft == 0;
    }

    /** Forgets the gradients, and whatever a step that failed has left behind. */
    void clear() {
        all().forEach(unit -> {
            unit.gradients().clear();
            unit.free();
        });
        reducing = null;
        batchesLeft = 0;
        computing = null;
    }

    Fsdp.Gathered gatherAll() {
        all().forEach(this::startGather);
        all().forEach(Unit::finishGather);
        return () -> all().forEach(Unit::free);
    }

    @Override
    public void enter(int unit, Pass pass) {
        endSpan();
        if (unit == ROOT && pass == Pass.BACKWARD) {
            root.gradients().lend();
        } else {
            startGather(unit(unit));
        }
        int next = pass == Pass.FORWARD ? unit + 1 : unit == ROOT ? blocks.size() - 1 : unit - 1;
        if (options.prefetch() && next >= 0 && next < blocks.size()) {
            startGather(blocks.get(next)); // behind this one
        }
        long waiting = System.nanoTime();
        unit(unit).finishGather();
        timeline.span("wait", "gather " + unit(unit).name(), waiting);
        computing = unit(unit).name() + (pass == Pass.FORWARD ? " forward" : " backward");
        since = System.nanoTime();
    }

    @Override
    public void leave(int unit, Pass pass) {
        endSpan();
        if (pass == Pass.BACKWARD) {
            leaveBackward(unit);
        } else if (unit == ROOT) {
            all().forEach(Unit::free);
        } else if (options.reshardAfterForward()) {
            unit(unit).free();
        }
    }

    /** A block's gradients are on their way while the block before it computes. */
    private void leaveBackward(int unit) {
        if (unit == ROOT) {
            finishReduce();
            root.gradients().takeBack();
            startReduce(root);
            finishReduce();
            if (batchesLeft == 0) {
                root.free();
            }
        } else {
            unit(unit).free();
            finishReduce(); // of the block after this, so that the memory of one block's is enough
            unit(unit).gradients().collect();
            startReduce(unit(unit));
        }
    }

    private void startGather(Unit unit) {
        if (!unit.isGathered()) {
            unit.startGather();
            gathered += unit.traffic();
        }
    }

    private void startReduce(Unit unit) {
        if (reduces) {
            unit.gradients().startReduce();
            reduced += unit.traffic();
            reducing = unit;
        }
    }

    private void finishReduce() {
        if (reducing != null) {
            long waiting = System.nanoTime();
            reducing.gradients().finishReduce();
            timeline.span("wait", "reduce " + reducing.name(), waiting);
            reducing = null;
        }
    }

    private void endSpan() {
        if (computing != null) {
            timeline.span("compute", computing, since);
            computing = null;
        }
    }

    private Unit unit(int unit) {
        return unit == ROOT ? root : blocks.get(unit);
    }
}
