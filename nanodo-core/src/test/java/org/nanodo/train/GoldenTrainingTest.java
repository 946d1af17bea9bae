package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.function.Function;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.nanodo.Golden;
import org.nanodo.data.Batch;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.FlaxNames;
import org.nanodo.model.Parameter;
import org.nanodo.optim.AdamW;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Tensors;

/** Law 1: logits, loss, gradients and AdamW steps are those of an independent float64 implementation. */
class GoldenTrainingTest {
    private Golden golden;
    private DecoderModel model;

    @BeforeEach
    void load() throws Exception {
        golden = new Golden();
        model = golden.model();
    }

    @AfterEach
    void close() throws Exception {
        model.close();
        golden.close();
    }

    @Test
    void logits() throws Exception {
        Batch batch = golden.batch(0);
        try (var off = Grad.off()) {
            Tensor logits = model.forward(Tensors.ids(model.device(), batch.inputs_BxL(), batch.B(), batch.L()));
            assertThat(Golden.relativeError(logits, golden.tensor("logits"))).isLessThan(2e-5);
        }
    }

    @Test
    void lossAndEveryGradient() throws Exception {
        Batch batch = golden.batch(0);
        assertThat(batch.weight()).as("a padded row").isLessThan(batch.B() * (batch.L() - 1));
        Tensor sum = new BlockWalk(model).lossAndGradients(MicroBatch.of(batch));
        assertThat(sum.item_double() / batch.weight()).isCloseTo(golden.scalar("loss"), within(1e-5));
        for (Parameter parameter : model.parameters()) {
            Tensor gradient = parameter.tensor().grad().div(new Scalar(batch.weight()));
            assertThat(Golden.relativeError(gradient, golden.tensor("grad." + FlaxNames.of(parameter.name()))))
                    .as(parameter.name())
                    .isLessThan(1e-4);
        }
    }

    @Test
    void fiveAdamWSteps() throws Exception {
        var engine = new BlockWalk(model);
        try (var optimizer = AdamW.with()
                .b1(golden.constant("b1"))
                .b2(golden.constant("b2"))
                .eps(golden.constant("eps"))
                .weightDecay(golden.constant("weight_decay"))
                .start(model.parameters())) {
            for (int step = 1; step <= 5; step++) {
                Batch batch = golden.batch(step - 1);
                Tensor sum = engine.lossAndGradients(MicroBatch.of(batch));
                assertThat(sum.item_double() / batch.weight())
                        .as("loss before step " + step)
                        .isCloseTo(golden.scalar("loss_at_step" + step), within(1e-5));
                Tensor weight = Tensors.floats(model.device(), new float[] {(float) batch.weight()});
                optimizer.update(step, golden.constant("lr"), weight, Tensors.zeros(model.device()));
                engine.clearGradients();
                if (step == 1 || step == 5) {
                    String after = "after" + step + ".";
                    checkParameters(parameter -> after + FlaxNames.of(parameter.name()));
                }
            }
        }
    }

    private void checkParameters(Function<Parameter, String> expected) throws Exception {
        for (Parameter parameter : model.parameters()) {
            assertThat(Golden.relativeError(parameter.tensor(), golden.tensor(expected.apply(parameter))))
                    .as(expected.apply(parameter))
                    .isLessThan(1e-4);
        }
    }
}
