package org.nanodo.config;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.nanodo.model.FlaxNames;
import org.nanodo.model.Parameter;
import org.nanodo.optim.Adafactor;
import org.nanodo.optim.AdamW;
import org.nanodo.optim.GroupedOptimizer;
import org.nanodo.optim.Lion;
import org.nanodo.optim.Muon;
import org.nanodo.optim.Optimizer;
import org.nanodo.optim.Schedule;

/** The optimizer and the learning rate, with NanoDO's names. {@code docs/config.md} describes each key. */
public record OptConfig(
        long numTrainSteps,
        double peakLearningRate,
        double initLearningRate,
        double finalLearningRate,
        long warmupSteps,
        String decayType,
        Long decaySteps,
        double weightDecay,
        boolean independentWeightDecay,
        List<String> weightDecayExclusionNames,
        Map<String, Double> layerwiseLrMultiplier,
        Double clipByGlobalNorm,
        String optimizer,
        Double b1,
        Double b2,
        Double eps,
        Double momentum,
        Double decayRate,
        Boolean factored,
        Boolean multiplyByParameterScale) {
    private static final Pattern CONSTANT_LINEAR = Pattern.compile("constant_linear_decay_(\\d+(?:\\.\\d+)?)(p?)");

    public OptConfig {
        Check.positive("opt.num_train_steps", numTrainSteps);
        Check.notNegative("opt.peak_learning_rate", peakLearningRate);
        Check.notNegative("opt.init_learning_rate", initLearningRate);
        Check.notNegative("opt.final_learning_rate", finalLearningRate);
        weightDecayExclusionNames = List.copyOf(weightDecayExclusionNames);
        layerwiseLrMultiplier = Collections.unmodifiableMap(new LinkedHashMap<>(layerwiseLrMultiplier));
    }

    Schedule schedule() {
        return switch (decayType) {
            case "cosine" ->
                decaySteps == null
                        ? Schedule.warmupCosine(
                                initLearningRate, peakLearningRate, finalLearningRate, warmupSteps, numTrainSteps)
                        : Schedule.linear(initLearningRate, peakLearningRate, warmupSteps)
                                .then(warmupSteps, Schedule.cosine(peakLearningRate, finalLearningRate, decaySteps));
            case "linear" ->
                Schedule.warmupLinear(
                        initLearningRate, peakLearningRate, finalLearningRate, warmupSteps, numTrainSteps);
            case "rsqrt" -> Schedule.warmupRsqrt(initLearningRate, peakLearningRate, warmupSteps);
            case "constant" -> Schedule.warmupConstant(initLearningRate, peakLearningRate, warmupSteps);
            case "constant_without_warmup" -> Schedule.constant(peakLearningRate);
            default ->
                Schedule.warmupConstantLinear(
                        initLearningRate,
                        peakLearningRate,
                        finalLearningRate,
                        warmupSteps,
                        linearDecaySteps(),
                        numTrainSteps);
        };
    }

    private long linearDecaySteps() {
        Matcher matcher = CONSTANT_LINEAR.matcher(decayType);
        if (!matcher.matches()) {
            throw new IllegalArgumentException(
                    "opt.decay_type \"" + decayType + "\" is unknown: cosine, linear, rsqrt, "
                            + "constant, constant_without_warmup, or constant_linear_decay_ and a number of steps or per cent, as in "
                            + "constant_linear_decay_20p");
        }
        double number = Double.parseDouble(matcher.group(1));
        double steps = matcher.group(2).isEmpty() ? number : (long) (numTrainSteps * number / 100);
        if (steps > numTrainSteps || steps != (long) steps) {
            throw new IllegalArgumentException(
                    "opt.decay_type \"" + decayType + "\" does not fit into " + numTrainSteps + " steps");
        }
        return (long) steps;
    }

    /** @throws IllegalArgumentException if a name in this config is not part of any parameter's name */
    void checkNames(List<Parameter> parameters) {
        List<String> names = parameters.stream().map(Parameter::name).toList();
        var parts = new ArrayList<>(weightDecayExclusionNames);
        parts.addAll(layerwiseLrMultiplier.keySet());
        for (String part : parts) {
            Check.that(
                    names.stream().anyMatch(name -> isPartOfName(part, name)),
                    "opt: no parameter's name contains \"" + part + "\", they are "
                            + names.stream()
                                    .map(name -> name.replaceFirst("\\.\\d+\\.", ".*."))
                                    .distinct()
                                    .toList());
        }
    }

    /** Returns whether the parameter's name, or its path in NanoDO, contains the part. */
    private static boolean isPartOfName(String part, String parameter) {
        return parameter.contains(part) || FlaxNames.path(parameter).contains(part);
    }

    Optimizer rule() {
        checkGoesWith("b1", b1, "adamw", "lion", "muon");
        checkGoesWith("b2", b2, "adamw", "lion", "muon");
        checkGoesWith("eps", eps, "adamw", "adafactor", "muon");
        checkGoesWith("momentum", momentum, "adafactor", "muon");
        checkGoesWith("decay_rate", decayRate, "adafactor");
        checkGoesWith("factored", factored, "adafactor");
        checkGoesWith("multiply_by_parameter_scale", multiplyByParameterScale, "adafactor");
        return switch (optimizer) {
            case "adamw" -> grouped(adamW());
            case "adafactor" -> grouped(adafactor());
            case "lion" -> {
                Lion lion = Lion.with();
                yield grouped(lion.b1(or(b1, lion.b1())).b2(or(b2, lion.b2())));
            }
            case "muon" ->
                grouped(Muon.with().momentum(or(momentum, Muon.with().momentum())))
                        .others(grouped(adamW()));
            default ->
                throw new IllegalArgumentException(
                        "opt.optimizer \"" + optimizer + "\" is unknown: adamw, adafactor, lion or muon");
        };
    }

    private void checkGoesWith(String key, Object value, String... optimizers) {
        Check.that(
                value == null || List.of(optimizers).contains(optimizer),
                "opt." + key + " applies to " + String.join(", ", optimizers) + ", not to opt.optimizer " + optimizer);
    }

    private AdamW adamW() {
        AdamW adamW = AdamW.with();
        return adamW.b1(or(b1, adamW.b1())).b2(or(b2, adamW.b2())).eps(or(eps, adamW.eps()));
    }

    private Adafactor adafactor() {
        Adafactor adafactor = Adafactor.with();
        return adafactor
                .decayRate(or(decayRate, adafactor.decayRate()))
                .momentum(or(momentum, adafactor.momentum()))
                .eps(or(eps, adafactor.eps()))
                .factored(or(factored, adafactor.factored()))
                .parameterScale(or(multiplyByParameterScale, adafactor.parameterScale()));
    }

    private <R extends GroupedOptimizer<R>> R grouped(R rule) {
        return rule.weightDecay(independentWeightDecay ? weightDecay / peakLearningRate : weightDecay)
                .decays(name -> weightDecayExclusionNames.stream().noneMatch(part -> isPartOfName(part, name)))
                .multiplier(name -> layerwiseLrMultiplier.entrySet().stream()
                        .filter(entry -> isPartOfName(entry.getKey(), name))
                        .mapToDouble(Map.Entry::getValue)
                        .findFirst()
                        .orElse(1));
    }

    private static <T> T or(T value, T otherwise) {
        return value == null ? otherwise : value;
    }
}
