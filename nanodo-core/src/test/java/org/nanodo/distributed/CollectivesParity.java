package org.nanodo.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.runtime.Collectives;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** What every kind of collectives has to do, checked by each rank: it knows what the others put in. */
final class CollectivesParity {
    private CollectivesParity() {}

    static void check(Collectives ranks, ScalarType... types) {
        for (var type : types) {
            for (int length : new int[] {1, 7, 300_001}) {
                try (var scope = Scope.open()) {
                    check(ranks, type, length);
                }
            }
        }
        try (var scope = Scope.open()) {
            closedBeforeTheEnd(ranks);
            badArguments(ranks);
        }
        ranks.barrier();
        System.out.println("all equal");
    }

    /** What a rank puts in: small enough for sums that every type holds exactly. */
    static float[] input(int rank, int length) {
        float[] values = new float[length];
        for (int i = 0; i < length; i++) {
            values[i] = (i * 7 + rank * 5) % 13;
        }
        return values;
    }

    static Tensor tensor(ScalarType type, float[] values) {
        try (var scope = Scope.open()) {
            return scope.export(
                    Tensors.floats(Device.cpu(), values, values.length).to(type));
        }
    }

    private static void check(Collectives ranks, ScalarType type, int length) {
        int world = ranks.world();
        float[] concatenated = new float[world * length];
        float[] sum = new float[length];
        float[] sumOfWholes = new float[world * length];
        for (int rank = 0; rank < world; rank++) {
            float[] shard = input(rank, length);
            float[] whole = input(rank, world * length);
            System.arraycopy(shard, 0, concatenated, rank * length, length);
            add(sum, shard);
            add(sumOfWholes, whole);
        }
        Tensor gathered = Tensors.empty(Device.cpu(), type, (long) world * length);
        Tensor part = Tensors.empty(Device.cpu(), type, length);
        Tensor reduced = tensor(type, input(ranks.rank(), length));
        Tensor sent = tensor(type, input(ranks.rank(), length));
        List<Collectives.Handle> underWay = List.of(
                ranks.allGather(gathered, tensor(type, input(ranks.rank(), length))),
                ranks.reduceScatter(part, tensor(type, input(ranks.rank(), world * length))),
                ranks.allReduce(reduced),
                ranks.broadcast(sent, world - 1));
        underWay.forEach(Collectives.Handle::await);

        String what = type + " " + length;
        assertThat(Tensors.toFloats(gathered)).as("allGather " + what).isEqualTo(concatenated);
        int start = ranks.rank() * length;
        assertThat(Tensors.toFloats(part))
                .as("reduceScatter " + what)
                .isEqualTo(Arrays.copyOfRange(sumOfWholes, start, start + length));
        assertThat(Tensors.toFloats(reduced)).as("allReduce " + what).isEqualTo(sum);
        assertThat(Tensors.toFloats(sent)).as("broadcast " + what).isEqualTo(input(world - 1, length));
    }

    private static void add(float[] sum, float[] values) {
        for (int i = 0; i < sum.length; i++) {
            sum[i] += values[i];
        }
    }

    private static void closedBeforeTheEnd(Collectives ranks) {
        List<Collectives.Handle> underWay = new ArrayList<>();
        List<Tensor> results = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            Tensor gathered = Tensors.empty(Device.cpu(), ScalarType.Float, 1000L * ranks.world());
            try (Tensor shard = tensor(ScalarType.Float, input(ranks.rank() + i, 1000))) {
                underWay.add(ranks.allGather(gathered, shard));
            }
            results.add(gathered);
        }
        for (int i = 19; i >= 0; i--) {
            underWay.get(i).await();
            float[] gathered = Tensors.toFloats(results.get(i));
            for (int rank = 0; rank < ranks.world(); rank++) {
                assertThat(Arrays.copyOfRange(gathered, 1000 * rank, 1000 * rank + 1000))
                        .isEqualTo(input(rank + i, 1000));
            }
        }
    }

    private static void badArguments(Collectives ranks) {
        Tensor five = Tensors.zeros(Device.cpu(), 5);
        Tensor six = Tensors.zeros(Device.cpu(), 2, 3);
        assertThatThrownBy(() -> ranks.allGather(Tensors.zeros(Device.cpu(), 5L * ranks.world() + 1), five))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("the shard 5");
        assertThatThrownBy(() -> ranks.broadcast(five, ranks.world()))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("no rank " + ranks.world());
        assertThatThrownBy(() -> ranks.allReduce(six.t()))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("contiguous");
    }
}
