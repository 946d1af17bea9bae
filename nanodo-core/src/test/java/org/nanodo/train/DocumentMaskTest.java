package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.TinyRun;
import org.nanodo.data.Batch;
import org.nanodo.model.DecoderModel;
import org.nanodo.runtime.Tensors;

/** Two documents in one row, of which the second does not attend to the first. */
class DocumentMaskTest {
    private static final int L = 8;
    private static final int[] DOCUMENTS = {0, 0, 0, 1, 1, 1, 1, 1};

    private static Batch batch(int... firstDocument) {
        int[] tokens = {0, 0, 0, 7, 8, 9, 10, 11};
        System.arraycopy(firstDocument, 0, tokens, 0, 3);
        return Batch.of(L, tokens, L);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theSecondsLossesAndGradientsKnowNothingOfTheFirst(boolean remat) {
        try (var model = DecoderModel.create(TinyRun.config(remat), 1)) {
            var engine = new BlockWalk(model);
            float[] one = engine.tokenLosses(batch(20, 21, 22).documents(DOCUMENTS));
            float[] other = engine.tokenLosses(batch(30, 31, 32).documents(DOCUMENTS));
            assertThat(second(one)).isEqualTo(second(other));
            assertThat(second(engine.tokenLosses(batch(20, 21, 22))))
                    .as("without the mask")
                    .isNotEqualTo(second(engine.tokenLosses(batch(30, 31, 32))));
            assertThat(Arrays.copyOf(one, 2)).isEqualTo(Arrays.copyOf(engine.tokenLosses(batch(20, 21, 22)), 2));

            for (boolean masked : new boolean[] {true, false}) {
                Batch whole = batch(20, 21, 22);
                Arrays.fill(whole.weights_BxL(), 0, 3, 0);
                engine.lossAndGradients(MicroBatch.of(masked ? whole.documents(DOCUMENTS) : whole));
                float[] positions_LxD = Tensors.toFloats(
                        Tensors.gradient(model.parameters().get(1).tensor()));
                for (int i = 0; i < 3; i++) {
                    int D = model.config().D();
                    float[] gradient_D = Arrays.copyOfRange(positions_LxD, i * D, (i + 1) * D);
                    if (masked) {
                        assertThat(gradient_D).containsOnly(0);
                    } else {
                        assertThat(gradient_D).isNotEqualTo(new float[D]);
                    }
                }
                engine.clearGradients();
            }
        }
    }

    private static float[] second(float[] losses_L) {
        return Arrays.copyOfRange(losses_L, 3, L - 1);
    }
}
