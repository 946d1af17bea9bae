package org.nanodo.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** Decoding with a cache equals the full forward pass. */
class CachedDecoderTest {
    private static final TransformerConfig CONFIG =
            TransformerConfig.builder().D(32).H(4).L(16).N(3).V(50).F(64).build();

    static Stream<Arguments> modelsAndTypes() {
        return ModelFactory.names().stream()
                .flatMap(model -> Arrays.stream(Dtype.values()).map(dtype -> Arguments.of(model, dtype)));
    }

    @ParameterizedTest
    @MethodSource("modelsAndTypes")
    void rowsOfDifferentLengthsEqualTheFullForwardPassWithinAndBeyondTheCapacity(String kind, Dtype dtype) {
        double tolerance = dtype == Dtype.FLOAT32 ? 2e-6 : 3e-2;
        var config = TransformerConfig.builder()
                .D(32)
                .H(8)
                .L(16)
                .N(3)
                .V(50)
                .F(64)
                .dtype(dtype)
                .build();
        int[][] rows = randomRows(4, 30);
        int[] lengths = {1, 7, 4, 7};
        try (var model = ModelFactory.named(kind).create(config, 1, Device.cpu());
                var decoder = new CachedDecoder(model, 15)) {
            for (int n = 0; n < 20; n++) {
                float[][] logits = decoder.logits(rows, lengths);
                for (int b = 0; b < rows.length; b++) {
                    int[] context = Arrays.copyOfRange(rows[b], Math.max(0, lengths[b] - 15), lengths[b]);
                    assertThat(difference(logits[b], lastLogits(model, context)))
                            .as("row %d of %d tokens", b, lengths[b])
                            .isLessThan(tolerance);
                    lengths[b]++;
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void oneRowAsWell(String kind) {
        int[][] rows = randomRows(1, 20);
        try (var model = ModelFactory.named(kind).create(CONFIG, 1, Device.cpu());
                var decoder = new CachedDecoder(model, 12)) {
            for (int n = 3; n < 20; n++) {
                int[] context = Arrays.copyOfRange(rows[0], Math.max(0, n - 12), n);
                assertThat(difference(decoder.logits(rows, new int[] {n})[0], lastLogits(model, context)))
                        .isLessThan(2e-6);
            }
        }
    }

    @Test
    void aTokenDoesNotDependOnWhatStandsInTheOtherRows() {
        int[][] rows = randomRows(2, 10);
        int[] lengths = {9, 2};
        try (var model = DecoderModel.create(CONFIG, 1);
                var decoder = new CachedDecoder(model, 15);
                var other = new CachedDecoder(model, 15)) {
            float[] before = decoder.logits(rows, lengths)[1];
            Arrays.fill(rows[0], 7);
            assertThat(other.logits(rows, lengths)[1]).containsExactly(before);
        }
    }

    @Test
    @Tag("slow")
    void cachesAreFreed() {
        var config =
                TransformerConfig.builder().D(128).H(4).L(256).N(2).V(50).F(64).build();
        int[][] rows = randomRows(2, 10);
        try (var model = DecoderModel.create(config, 1)) {
            long alive = 0;
            for (int run = 0; run < 40; run++) {
                try (var decoder = new CachedDecoder(model, 255)) {
                    for (int n = 2; n < 10; n++) {
                        decoder.logits(rows, new int[] {n, n - 1});
                    }
                }
                if (run == 9) {
                    alive = Memory.allocatedBytes();
                }
            }
            // A run's four caches take a mebibyte; the JVM's own allocations are counted, too.
            assertThat(Memory.allocatedBytes() - alive).isLessThan(8 << 20);
        }
    }

    private static int[][] randomRows(int count, int length) {
        var random = new SplittableRandom(1);
        var rows = new int[count][];
        Arrays.setAll(rows, b -> random.ints(length, 0, CONFIG.V()).toArray());
        return rows;
    }

    private static float[] lastLogits(LanguageModel model, int[] context) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            Tensor logits_1xLxV = model.forward(Tensors.ids(model.device(), context, 1, context.length));
            return Tensors.toFloats(logits_1xLxV.select(1, context.length - 1));
        }
    }

    /** max|a - b| / max|b|. */
    private static double difference(float[] a, float[] b) {
        double error = 0;
        double scale = 0;
        for (int i = 0; i < b.length; i++) {
            error = Math.max(error, Math.abs(a[i] - b[i]));
            scale = Math.max(scale, Math.abs(b[i]));
        }
        return error / scale;
    }
}
