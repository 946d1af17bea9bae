package org.nanodo.metrics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class AverageTest {
    @Test
    void partsMergeToTheTwoPassResult() {
        float[] values = new float[1000];
        float[] weights = new float[1000];
        var random = new Random(1);
        double sum = 0;
        double count = 0;
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (1e3 + random.nextGaussian());
            weights[i] = i % 3 == 0 ? 0 : 1;
            sum += weights[i] * values[i];
            count += weights[i];
        }
        double squares = 0;
        for (int i = 0; i < values.length; i++) {
            squares += weights[i] * Math.pow(values[i] - sum / count, 2);
        }
        Average merged = Average.NONE;
        for (int from = 0; from < values.length; from += 90) {
            int to = Math.min(values.length, from + 90);
            merged = merged.merge(
                    Average.of(Arrays.copyOfRange(values, from, to), Arrays.copyOfRange(weights, from, to)));
            merged = merged.merge(Average.NONE);
        }
        assertThat(merged.count()).isEqualTo(count);
        assertThat(merged.mean()).isCloseTo(sum / count, within(1e-9));
        assertThat(merged.standardError()).isCloseTo(Math.sqrt(squares / count / count), within(1e-9));
    }

    /** NanoDO's own cases: numbers one by one against all at once, and the same numbers again and again. */
    @Test
    void numbersOneByOneGiveTheAverageOfAll() {
        var random = new Random(0);
        float[] values = new float[100];
        float[] ones = new float[100];
        Arrays.fill(ones, 1);
        Average merged = Average.NONE;
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
            merged = merged.merge(Average.of(new float[] {values[i]}, new float[] {1}));
        }
        Average whole = Average.of(values, ones);
        assertThat(merged.mean()).isCloseTo(0, within(3 * merged.standardError()));
        assertThat(merged.count()).isEqualTo(100);
        assertThat(merged.mean()).isCloseTo(whole.mean(), within(1e-12));
        assertThat(merged.m2()).isCloseTo(whole.m2(), within(1e-9));

        Average thrice = whole.merge(whole).merge(whole);
        assertThat(thrice.mean()).isCloseTo(whole.mean(), within(1e-12));
        assertThat(thrice.standardError()).isCloseTo(whole.standardError() / Math.sqrt(3), within(1e-9));
    }

    @Test
    void nothingHasNoAverage() {
        assertThat(Average.of(new float[] {1}, new float[] {0})).isEqualTo(Average.NONE);
    }
}
