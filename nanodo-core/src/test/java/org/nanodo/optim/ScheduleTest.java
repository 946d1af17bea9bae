package org.nanodo.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.junit.jupiter.api.Test;

class ScheduleTest {
    @Test
    void warmupCosine() {
        Schedule schedule = Schedule.warmupCosine(0.1, 1.1, 0.1, 10, 110);
        check(schedule, 0, 0.1, 5, 0.6, 10, 1.1, 35, 0.6 + 0.5 * Math.cos(Math.PI / 4), 60, 0.6, 110, 0.1, 500, 0.1);
    }

    @Test
    void warmupLinear() {
        check(Schedule.warmupLinear(0, 1, 0.5, 10, 110), 0, 0, 5, 0.5, 10, 1, 60, 0.75, 110, 0.5, 500, 0.5);
    }

    @Test
    void warmupRsqrt() {
        check(Schedule.warmupRsqrt(0, 1, 3), 0, 0, 3, 1, 15, Math.sqrt(4. / 16), 99, Math.sqrt(4. / 100));
    }

    @Test
    void constant() {
        check(Schedule.constant(0.3), 0, 0.3, 1000, 0.3);
        check(Schedule.warmupConstant(0, 1, 4), 1, 0.25, 4, 1, 1000, 1);
    }

    @Test
    void warmupConstantLinear() {
        check(
                Schedule.warmupConstantLinear(0, 1, 0.5, 4, 10, 100),
                0,
                0,
                2,
                0.5,
                4,
                1,
                90,
                1,
                95,
                0.75,
                100,
                0.5,
                999,
                0.5);
        check(Schedule.warmupConstantLinear(0, 1, 0, 4, 96, 100), 3, 0.75, 4, 1, 52, 0.5, 100, 0);
        check(Schedule.warmupConstantLinear(0, 1, 0, 0, 0, 100), 0, 1, 99, 1, 100, 0);
        assertThatThrownBy(() -> Schedule.warmupConstantLinear(0, 1, 0, 5, 96, 100))
                .hasMessageContaining("warmup of 5 steps and a decay of 96");
    }

    /** The cases of NanoDO's own test, with its numbers. */
    @Test
    void schedulesAsInNanodo() {
        double init = 0.001;
        double peak = 0.01;
        double end = 0.0001;
        long decaySteps = 100;
        Schedule cosine = Schedule.warmupCosine(init, peak, end, 10, 10 + decaySteps);
        for (Schedule schedule : List.of(cosine, Schedule.warmupRsqrt(init, peak, 10))) {
            assertThat(schedule.at(0)).isCloseTo(init, within(1e-9));
            assertThat(schedule.at(1)).isGreaterThan(schedule.at(0));
            assertThat(schedule.at(10)).isEqualTo(peak);
        }
        assertThat(cosine.at(10_000)).isEqualTo(end);
        assertThat(Schedule.warmupRsqrt(init, peak, 10).at(11))
                .isEqualTo(Schedule.rsqrt(peak, 11).at(1));
        Schedule noWarmup = Schedule.warmupCosine(init, peak, end, 0, 10_000);
        assertThat(noWarmup.at(0)).isCloseTo(peak, within(1e-9)).isGreaterThan(noWarmup.at(1));
        assertThat(noWarmup.at(10_000)).isEqualTo(end);
    }

    @Test
    void theWarmupHasToFit() {
        assertThatThrownBy(() -> Schedule.warmupCosine(0, 1, 0, 11, 10)).hasMessageContaining("11 steps");
    }

    private static void check(Schedule schedule, double... stepsAndRates) {
        for (int i = 0; i < stepsAndRates.length; i += 2) {
            assertThat(schedule.at((long) stepsAndRates[i]))
                    .as("step %s", stepsAndRates[i])
                    .isCloseTo(stepsAndRates[i + 1], within(1e-12));
        }
    }
}
