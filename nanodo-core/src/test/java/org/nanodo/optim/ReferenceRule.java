package org.nanodo.optim;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;

/** Optimizers as in their papers, in float64 and plain Java. A rule returns the update to subtract, without weight decay. */
interface ReferenceRule {
    /** @param matrix its rows and columns, or its length and 1 */
    double[] update(String name, int[] matrix, double[] value, double[] gradient, long step, double learningRate);

    static ReferenceRule adamW(AdamW rule) {
        Memory m = new Memory();
        Memory v = new Memory();
        return (name, matrix, value, g, step, learningRate) -> {
            m.mix(name, rule.b1(), g);
            v.mix(name, rule.b2(), squares(g, 0));
            return map(g.length, i -> {
                double mean = m.of(name)[i] / (1 - Math.pow(rule.b1(), step));
                double square = v.of(name)[i] / (1 - Math.pow(rule.b2(), step));
                return learningRate * mean / (Math.sqrt(square) + rule.eps());
            });
        };
    }

    static ReferenceRule lion(Lion rule) {
        Memory m = new Memory();
        return (name, matrix, value, g, step, learningRate) -> {
            double[] before = m.of(name, g.length).clone();
            m.mix(name, rule.b2(), g);
            return map(g.length, i -> learningRate * Math.signum(rule.b1() * before[i] + (1 - rule.b1()) * g[i]));
        };
    }

    static ReferenceRule adafactor(Adafactor rule) {
        Memory rows = new Memory();
        Memory columns = new Memory();
        Memory v = new Memory();
        Memory m = new Memory();
        return (name, matrix, value, g, step, learningRate) -> {
            double beta = 1 - Math.pow(step, -rule.decayRate());
            double[] squares = squares(g, rule.eps());
            int O = matrix[1];
            double[] u;
            if (rule.factored() && Math.min(matrix[0], O) >= rule.minFactored()) {
                rows.mix(name, beta, map(matrix[0], i -> mean(squares, j -> j / O == i)));
                columns.mix(name, beta, map(O, i -> mean(squares, j -> j % O == i)));
                double all = Arrays.stream(rows.of(name)).average().orElseThrow();
                u = map(g.length, i -> g[i] / Math.sqrt(rows.of(name)[i / O] * columns.of(name)[i % O] / all));
            } else {
                v.mix(name, beta, squares);
                u = map(g.length, i -> g[i] / Math.sqrt(v.of(name)[i]));
            }
            double clip = Math.max(1, rms(u) / rule.clip());
            double scale = rule.parameterScale() ? Math.max(1e-3, rms(value)) : 1;
            double[] update = map(u.length, i -> learningRate * scale * u[i] / clip);
            if (rule.momentum() == 0) {
                return update;
            }
            m.mix(name, rule.momentum(), update);
            return m.of(name);
        };
    }

    static ReferenceRule muon(Muon rule) {
        Memory m = new Memory();
        return (name, matrix, value, g, step, learningRate) -> {
            int I = matrix[0];
            int O = matrix[1];
            m.mix(name, rule.momentum(), g);
            double[] mean = m.of(name);
            double[] x = rule.nesterov()
                    ? map(g.length, i -> (1 - rule.momentum()) * g[i] + rule.momentum() * mean[i])
                    : mean.clone();
            double norm = rms(x) * Math.sqrt(x.length) + 1e-7;
            x = map(x.length, new Divided(x, norm));
            for (int i = 0; i < rule.iterations(); i++) { // (a + b·x xᵀ + c·(x xᵀ)²) x
                double[] xx = product(x, transposed(x, I, O), I, O, I);
                double[] once = product(xx, x, I, I, O);
                double[] twice = product(xx, once, I, I, O);
                double[] before = x;
                x = map(x.length, j -> 3.4445 * before[j] - 4.7750 * once[j] + 2.0315 * twice[j]);
            }
            return map(x.length, new Divided(x, 1 / (learningRate * rule.scale().of(I, O))));
        };
    }

    /** Running means by name. */
    final class Memory {
        private final Map<String, double[]> values = new HashMap<>();

        double[] of(String name) {
            return values.get(name);
        }

        double[] of(String name, int length) {
            return values.computeIfAbsent(name, any -> new double[length]);
        }

        void mix(String name, double beta, double[] news) {
            double[] old = of(name, news.length);
            values.put(name, map(news.length, i -> beta * old[i] + (1 - beta) * news[i]));
        }
    }

    /** Returns the elements of an array divided by a number. */
    record Divided(double[] values, double by) implements Function<Integer, Double> {
        @Override
        public Double apply(Integer i) {
            return values[i] / by;
        }
    }

    private static double[] map(int length, Function<Integer, Double> f) {
        double[] result = new double[length];
        Arrays.setAll(result, f::apply);
        return result;
    }

    private static double[] squares(double[] g, double eps) {
        return map(g.length, i -> g[i] * g[i] + eps);
    }

    private static double rms(double[] x) {
        return Math.sqrt(Arrays.stream(squares(x, 0)).average().orElseThrow());
    }

    private static double mean(double[] x, Function<Integer, Boolean> of) {
        double sum = 0;
        int count = 0;
        for (int i = 0; i < x.length; i++) {
            if (of.apply(i)) {
                sum += x[i];
                count++;
            }
        }
        return sum / count;
    }

    private static double[] transposed(double[] x, int rows, int columns) {
        return map(x.length, i -> x[i % rows * columns + i / rows]);
    }

    private static double[] product(double[] a, double[] b, int I, int J, int K) {
        return map(I * K, i -> {
            double sum = 0;
            for (int j = 0; j < J; j++) {
                sum += a[i / K * J + j] * b[j * K + i % K];
            }
            return sum;
        });
    }
}
