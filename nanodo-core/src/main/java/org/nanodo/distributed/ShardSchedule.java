package org.nanodo.distributed;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Timeline;
import org.nanodo.train.Residency;

/** The units of a model in the order of the walk, and the schedule by which each is gathered, freed and reduced. */
final class ShardSchedule implements Residency {
    private final Fsdp.Options options;
    private final Timeline timeline;
    private final List<Unit> root;
    private final List<List<Unit>> blocks = new ArrayList<>();
    private int batchesLeft;
    private boolean reduces;
    private List<Unit> reducing = List.of();
    private long gathered;
    private long reduced;
    private String computing;
    private long since;

    ShardSchedule(LanguageModel model, Fsdp.Options options) {
        this.options = options;
        this.timeline = options.timeline();
        var inBlocks = new HashSet<Parameter>();
        model.blocks().forEach(block -> inBlocks.addAll(block.parameters()));
        root = units(
                "root",
                model,
                model.parameters().stream()
                        .filter(parameter -> !inBlocks.contains(parameter))
                        .toList());
        for (int i = 0; i < model.blocks().size(); i++) {
            blocks.add(units("block " + i, model, model.blocks().get(i).parameters()));
        }
    }

    /** Groups parameters into units by the type in which the model reads them. */
    private List<Unit> units(String name, LanguageModel model, List<Parameter> parameters) {
        var byType = new TreeMap<>(parameters.stream().collect(Collectors.groupingBy(Parameter::dtype)));
        return byType.values().stream()
                .map(alike -> new Unit(name, options.ranks(), model.device(), alike))
                .toList();
    }

    List<Unit> all() {
        var all = new ArrayList<>(root);
        blocks.forEach(all::addAll);
        return all;
    }

    Fsdp.Traffic traffic() {
        return new Fsdp.Traffic(gathered, reduced);
    }

    void begin(int batches) {
        batchesLeft = batches;
    }

    /** Counts down the batches of a step. A batch that {@link #begin} has not announced is a step of its own. */
    void nextBatch() {
        batchesLeft = Math.max(0, batchesLeft - 1);
        reduces = options.reduceEachBatch() || batchesLeft == 0;
    }

    /** Removes the gradients, and anything that a failed step has left behind. */
    void clear() {
        all().forEach(unit -> {
            unit.gradients().clear();
            unit.free();
        });
        reducing = List.of();
        batchesLeft = 0;
        computing = null;
    }

    Fsdp.Gathered gatherAll() {
        for (Unit unit : all()) {
            unit.free(); // a walk may have left it in the type of the computation
            unit.startGather(ScalarType.Float);
            gathered += unit.traffic();
        }
        all().forEach(Unit::finishGather);
        return () -> all().forEach(Unit::free);
    }

    @Override
    public void enter(int unit, Pass pass) {
        endSpan();
        if (unit == ROOT && pass == Pass.BACKWARD) {
            root.forEach(part -> part.gradients().lend());
        } else {
            startGather(unit);
        }
        int next = pass == Pass.FORWARD ? unit + 1 : unit == ROOT ? blocks.size() - 1 : unit - 1;
        if (options.prefetch() && next >= 0 && next < blocks.size()) {
            startGather(next); // after this one
        }
        long waiting = System.nanoTime();
        parts(unit).forEach(Unit::finishGather);
        timeline.span("wait", "gather " + name(unit), waiting);
        computing = name(unit) + (pass == Pass.FORWARD ? " forward" : " backward");
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
            parts(unit).forEach(Unit::free);
        }
    }

    /** Reduces a block's gradients while the previous block computes. */
    private void leaveBackward(int unit) {
        if (unit == ROOT) {
            finishReduce();
            root.forEach(part -> part.gradients().takeBack());
            startReduce(root);
            finishReduce();
            if (batchesLeft == 0) {
                root.forEach(Unit::free);
            }
        } else {
            parts(unit).forEach(Unit::free);
            finishReduce(); // of the following block, so that only one block's gradients are in memory
            parts(unit).forEach(part -> part.gradients().collect());
            startReduce(parts(unit));
        }
    }

    private void startGather(int unit) {
        for (Unit part : parts(unit)) {
            if (!part.isGathered()) {
                part.startGather();
                gathered += part.traffic();
            }
        }
    }

    private void startReduce(List<Unit> parts) {
        if (reduces) {
            for (Unit part : parts) {
                part.gradients().startReduce();
                reduced += part.traffic();
            }
            reducing = parts;
        }
    }

    private void finishReduce() {
        if (!reducing.isEmpty()) {
            long waiting = System.nanoTime();
            reducing.forEach(part -> part.gradients().finishReduce());
            timeline.span("wait", "reduce " + reducing.get(0).name(), waiting);
            reducing = List.of();
        }
    }

    private void endSpan() {
        if (computing != null) {
            timeline.span("compute", computing, since);
            computing = null;
        }
    }

    private String name(int unit) {
        return parts(unit).get(0).name();
    }

    private List<Unit> parts(int unit) {
        return unit == ROOT ? root : blocks.get(unit);
    }
}
