package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

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
