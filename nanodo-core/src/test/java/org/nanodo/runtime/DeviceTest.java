package org.nanodo.runtime;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class DeviceTest {
    @Test
    void aDeviceThatIsNotThereIsNamed() {
        int next = Device.cudaCount();
        assertThatThrownBy(() -> Device.cuda(next))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("CUDA device " + next)
                .hasMessageContaining("sees " + next);
    }

    @Test
    void names() {
        assertThat(Device.cpu()).hasToString("cpu");
        assertThat(new Device(Device.Type.CUDA, 1)).hasToString("cuda:1");
    }
}
