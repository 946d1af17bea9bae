package org.nanodo.distributed;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.model.BlockModel;
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
    private final List<Unit> all = new ArrayList<>(); // each once, although blocks may share some
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
        // Parameters that the same blocks read are gathered together; those of no block are the root's.
        List<? extends LanguageModel.Block> ofModel = model instanceof BlockModel own ? own.blocks() : List.of();
        var readers = new LinkedHashMap<Parameter, List<Integer>>();
        model.parameters().forEach(parameter -> readers.put(parameter, new ArrayList<>()));
        for (int i = 0; i < ofModel.size(); i++) {
            for (Parameter parameter : ofModel.get(i).parameters()) {
                readers.get(parameter).add(i);
            }
            blocks.add(new ArrayList<>());
        }
        var groups = new LinkedHashMap<List<Integer>, List<Parameter>>();
        readers.forEach((parameter, visits) ->
                groups.computeIfAbsent(visits, v -> new ArrayList<>()).add(parameter));
        root = units("root", model, groups.getOrDefault(List.of(), List.of()));
        all.addAll(root);
        groups.forEach((visits, parameters) -> {
            if (!visits.isEmpty()) {
                List<Unit> units = units("block " + visits.get(0), model, parameters);
                all.addAll(units);
                visits.forEach(i -> blocks.get(i).addAll(units));
            }
        });
    }

    /** Groups parameters into units by the type in which the model reads them. */
    private List<Unit> units(String name, LanguageModel model, List<Parameter> parameters) {
        var byType = new TreeMap<>(parameters.stream().collect(Collectors.groupingBy(Parameter::dtype)));
        return byType.values().stream()
                .map(alike -> new Unit(name, options.ranks(), model.device(), alike))
                .toList();
    }

    List<Unit> all() {
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
    public void enter(int unit, Direction direction) {
        endSpan();
        if (unit == ROOT && direction == Direction.BACKWARD) {
            root.forEach(part -> part.gradients().lend());
        } else {
            startGather(unit);
        }
        int next = direction == Direction.FORWARD ? unit + 1 : unit == ROOT ? blocks.size() - 1 : unit - 1;
        if (options.prefetch() && next >= 0 && next < blocks.size()) {
            startGather(next); // after this one
        }
        long waiting = System.nanoTime();
        parts(unit).forEach(Unit::finishGather);
        timeline.span("wait", "gather " + name(unit), waiting);
        computing = name(unit) + (direction == Direction.FORWARD ? " forward" : " backward");
        since = System.nanoTime();
    }

    @Override
    public void leave(int unit, Direction direction) {
        endSpan();
        if (direction == Direction.BACKWARD) {
            leaveBackward(unit);
        } else if (unit == ROOT) {
            all().forEach(Unit::free);
        } else if (options.reshardAfterForward()) {
            free(unit, unit + 1);
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
            free(unit, unit - 1);
            finishReduce(); // of the following block, so that only one block's gradients are in memory
            parts(unit).forEach(part -> part.gradients().collect());
            startReduce(parts(unit).stream().filter(part -> isFirst(unit, part)).toList());
        }
    }

    /** Frees a block, except for what the next one to compute shares with it. */
    private void free(int unit, int next) {
        List<Unit> needed = next >= 0 && next < blocks.size() ? blocks.get(next) : List.of();
        parts(unit).stream().filter(part -> !needed.contains(part)).forEach(Unit::free);
    }

    /** Returns whether no earlier block shares this part, so that its gradients are complete once this one has left. */
    private boolean isFirst(int unit, Unit part) {
        return blocks.subList(0, unit).stream().noneMatch(block -> block.contains(part));
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
        return unit == ROOT ? "root" : "block " + unit;
    }

    private List<Unit> parts(int unit) {
        return unit == ROOT ? root : blocks.get(unit);
    }
}
