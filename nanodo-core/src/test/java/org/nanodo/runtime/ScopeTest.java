package org.nanodo.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

class ScopeTest {
    @Test
    void freesWhatWasMadeInside() {
        Tensor inside;
        try (var scope = Scope.open()) {
            inside = Tensors.zeros(Device.cpu(), 3);
            assertThat(inside.isNull()).isFalse();
        }
        assertThat(inside.isNull()).isTrue();
    }

    @Test
    void exportsToTheScopeAround() {
        Tensor exported;
        try (var outer = Scope.open()) {
            try (var inner = Scope.open()) {
                exported = inner.export(Tensors.zeros(Device.cpu(), 3));
            }
            assertThat(exported.numel()).isEqualTo(3);
        }
        assertThat(exported.isNull()).isTrue();
    }

    @Test
    void exportsToTheCallerWhereThereIsNoScopeAround() {
        Tensor exported;
        try (var scope = Scope.open()) {
            exported = scope.export(Tensors.zeros(Device.cpu(), 3));
        }
        assertThat(exported.numel()).isEqualTo(3);
        exported.close();
        assertThat(exported.isNull()).isTrue();
    }

    @Test
    void whatIsKeptOutlivesAllScopesUntilClosed() {
        Tensor kept;
        try (var outer = Scope.open();
                var inner = Scope.open()) {
            kept = Scope.keep(Tensors.zeros(Device.cpu(), 3));
        }
        assertThat(kept.numel()).isEqualTo(3);
        kept.close();
        assertThat(kept.isNull()).isTrue();
    }

    @Test
    void gradModeComesBack() {
        assertThat(org.bytedeco.pytorch.GradMode.is_enabled()).isTrue();
        try (var off = Grad.off()) {
            assertThat(org.bytedeco.pytorch.GradMode.is_enabled()).isFalse();
            try (var on = Grad.on()) {
                assertThat(org.bytedeco.pytorch.GradMode.is_enabled()).isTrue();
            }
            assertThat(org.bytedeco.pytorch.GradMode.is_enabled()).isFalse();
        }
        assertThat(org.bytedeco.pytorch.GradMode.is_enabled()).isTrue();
    }
}
