package org.nanodo.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

class ParameterTest {
    /** As in a sharded model, which gathers a matrix in bfloat16 alone. */
    @Test
    void aCastIsThereWhereTheTensorIsAbsent() {
        try (var scope = Scope.open();
                var parameter = new Parameter(
                        "up", new long[] {2}, Dtype.BFLOAT16, () -> Tensors.floats(Device.cpu(), new float[2], 2))) {
            Tensor cast = parameter.tensor().add(new Scalar(1)).detach().to(ScalarType.BFloat16);
            parameter.absent("elsewhere");
            parameter.hold(cast);
            assertThat(Tensors.toFloats(parameter.as(Dtype.BFLOAT16))).containsExactly(1, 1);
            assertThatThrownBy(parameter::tensor).hasMessage("up is not in memory: elsewhere");
            assertThatThrownBy(() -> parameter.as(Dtype.FLOAT32)).hasMessage("up is not in memory: elsewhere");
            parameter.release();
            assertThatThrownBy(() -> parameter.as(Dtype.BFLOAT16)).hasMessage("up is not in memory: elsewhere");
        }
    }

    @Test
    void theFirstToAskMayBeInAScope() {
        try (var parameter = new Parameter("x", new long[] {2}, Dtype.FLOAT32, () -> Tensors.zeros(Device.cpu(), 2))) {
            try (var scope = Scope.open()) {
                parameter.tensor();
            }
            assertThat(Tensors.toFloats(parameter.tensor())).containsExactly(0, 0);
        }
    }
}
