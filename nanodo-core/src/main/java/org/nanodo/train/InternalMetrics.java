package org.nanodo.train;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * Root mean square, mean and standard deviation of gradients, parameters and updates, of each parameter and of all together:
 * what NanoDO's {@code log_internal_metrics} gives. All of it is computed on the device, without waiting for it; sums over the
 * ranks go in one all-reduce.
 *
 * <p>Off, it costs nothing. On, it keeps a copy of this rank's parameters, 4 bytes each, to tell what an update did, and
 * a step that is measured reads gradients, parameters and updates three times each and copies the parameters: some 5 ns a
 * parameter on two cores.
 */
final class InternalMetrics implements AutoCloseable {
    private final LanguageModel model;
    private final Engine engine;
    private final long everySteps;
    private final Map<String, Parameter> mine = new HashMap<>();
    private final Map<Parameter, Tensor> before = new HashMap<>();
    private Tensor counts_P; // of this rank's elements
    private Tensor none;
    private Tensor beforeUpdate_4xP;

    InternalMetrics(LanguageModel model, Engine engine, long everySteps) {
        this.model = model;
        this.engine = engine;
        this.everySteps = everySteps;
    }

    /** Whether this step, counted from 1, is one to measure. */
    boolean due(long step) {
        return step % everySteps == 0;
    }

    /** Gradients, which an optimizer may overwrite, and parameters. */
    void beforeUpdate() {
        try (var scope = Scope.open()) {
            if (before.isEmpty()) {
                allocate();
            }
            discard(); // of a step that failed half-way
            Tensor gradients_2xP = sums(parameter -> parameter.tensor().grad());
            Tensor parameters_2xP = sums(Parameter::tensor);
            beforeUpdate_4xP = Scope.keep(torch.cat(new TensorVector(gradients_2xP, parameters_2xP), 0));
            before.forEach((parameter, copy) -> copy.copy_(parameter.tensor()));
        }
    }

    /** What {@link #read} takes, summed over the ranks. */
    Tensor afterUpdate() {
        try (var scope = Scope.open()) {
            before.forEach((parameter, copy) -> copy.sub_(parameter.tensor()));
            Tensor counts_1xP = counts_P.view(1, -1);
            Tensor sums_7xP = torch.cat(new TensorVector(counts_1xP, beforeUpdate_4xP, sums(before::get)), 0);
            discard();
            engine.ranks().allReduce(sums_7xP).await();
            return Scope.keep(sums_7xP);
        }
    }

    /**
     * The metrics by name. As in NanoDO, gradients are those before clipping, parameters those before the update, and updates
     * are divided by the learning rate. Waits for the device.
     *
     * @param weight what the gradient, of a sum, is divided by
     */
    Map<String, Double> read(Tensor sums_7xP, double weight, double learningRate) {
        double[] sums = Tensors.toDoubles(sums_7xP);
        var values = new LinkedHashMap<String, Double>();
        read(values, "grads/", sums, 1, 1 / weight);
        read(values, "params/", sums, 3, 1);
        read(values, "updates/", sums, 5, -1 / (learningRate + 1e-20)); // the sums are of before minus after
        return values;
    }

    private void read(Map<String, Double> values, String kind, double[] sums_7xP, int row, double scale) {
        List<Parameter> parameters = model.parameters();
        int P = parameters.size();
        double count = 0;
        double sum = 0;
        double squares = 0;
        for (int p = 0; p < P; p++) {
            count += sums_7xP[p];
            sum += sums_7xP[row * P + p];
            squares += sums_7xP[(row + 1) * P + p];
        }
        put(values, kind + "all/", count, sum, squares, scale);
        for (int p = 0; p < P; p++) {
            String name = kind + parameters.get(p).name() + "/";
            put(values, name, sums_7xP[p], sums_7xP[row * P + p], sums_7xP[(row + 1) * P + p], scale);
        }
    }

    private static void put(
            Map<String, Double> values, String name, double count, double sum, double squares, double scale) {
        double mean = sum / count;
        values.put(name + "rms", Math.sqrt(squares / count) * Math.abs(scale));
        values.put(name + "mean", mean * scale);
        values.put(name + "std", Math.sqrt(Math.max(0, squares / count - mean * mean)) * Math.abs(scale));
    }

    /**
     * Sums and sums of squares of this rank's elements, 2xP in float64. They come from mean and variance: a float32 sum of
     * squares would lose the variance of values that are all near one, as the scales of norms are.
     */
    private Tensor sums(Function<Parameter, Tensor> values) {
        var means = new TensorVector();
        var variances = new TensorVector();
        for (Parameter parameter : model.parameters()) {
            Parameter own = mine.get(parameter.name());
            boolean unbiased = false;
            means.push_back(own == null ? none : values.apply(own).mean());
            variances.push_back(own == null ? none : values.apply(own).var(unbiased));
        }
        Tensor mean_P = torch.stack(means).to(ScalarType.Double);
        Tensor square_P = torch.stack(variances).to(ScalarType.Double).add_(mean_P.square());
        return torch.stack(new TensorVector(mean_P.mul(counts_P), square_P.mul(counts_P)));
    }

    private void allocate() {
        for (Parameter parameter : engine.parameters()) {
            if (parameter.numel() > 0) { // of nothing there is no mean
                mine.put(parameter.name(), parameter);
                before.put(parameter, Scope.keep(torch.empty_like(parameter.tensor())));
            }
        }
        double[] counts = model.parameters().stream()
                .mapToDouble(
                        p -> mine.containsKey(p.name()) ? mine.get(p.name()).numel() : 0)
                .toArray();
        counts_P = Scope.keep(Tensors.doubles(model.device(), counts, counts.length));
        none = Scope.keep(Tensors.zeros(model.device()));
    }

    private void discard() {
        if (beforeUpdate_4xP != null) {
            beforeUpdate_4xP.close();
            beforeUpdate_4xP = null;
        }
    }

    @Override
    public void close() {
        discard();
        before.values().forEach(Tensor::close);
        if (counts_P != null) {
            counts_P.close();
            none.close();
        }
    }
}
