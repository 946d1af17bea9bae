package org.nanodo.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nanodo.runtime.Dtype;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Memory;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;
import org.nanodo.tokenizer.Tokenizer;

/** One model used by several threads, one of which may close it. */
class SharedModelTest {
    private static final Tokenizer TOKENIZER = Tokenizer.bytes();
    private static final int THREADS = 4;

    private static DecoderModel model(Dtype dtype) {
        return DecoderModel.create(
                TransformerConfig.builder()
                        .D(64)
                        .H(4)
                        .L(32)
                        .N(2)
                        .F(128)
                        .V(259)
                        .dtype(dtype)
                        .build(),
                1);
    }

    /** Runs the same on several threads at once and returns what each has returned. */
    private static <T> List<T> together(Callable<T> work) throws Exception {
        var pool = Executors.newFixedThreadPool(THREADS);
        try {
            var results = new ArrayList<Future<T>>();
            for (int i = 0; i < THREADS; i++) {
                results.add(pool.submit(work));
            }
            var values = new ArrayList<T>();
            for (Future<T> result : results) {
                values.add(result.get());
            }
            return values;
        } finally {
            pool.shutdown();
        }
    }

    @ParameterizedTest
    @EnumSource(Dtype.class)
    void threadsThatInferTogetherGetWhatEachWouldGetAlone(Dtype dtype) throws Exception {
        double tolerance = dtype == Dtype.FLOAT32 ? 1e-5 : 3e-2; // another number of BLAS threads rounds differently
        int[] tokens = new int[30];
        try (var model = model(dtype)) {
            double[] alone = model.logProbs(tokens);
            Callable<Boolean> work = () -> {
                for (int i = 0; i < 20; i++) {
                    String text = model.generate(TOKENIZER, "abc").maxTokens(8).text();
                    assertThat(text).startsWith("abc");
                    double[] logProbs = model.logProbs(tokens);
                    for (int t = 0; t < alone.length; t++) {
                        assertThat(Math.abs(logProbs[t] - alone[t])).isLessThan(tolerance);
                    }
                }
                return true;
            };
            assertThat(together(work)).containsOnly(true);
        }
    }

    /** Without a cast of its own, a decoder on another thread would end the gradients of this one's graph. */
    @Test
    void gradientsFlowWhileAnotherThreadDecodes() {
        try (var model = model(Dtype.BFLOAT16);
                var decoder = new CachedDecoder(model, 31);
                var scope = Scope.open()) {
            decoder.logits(new int[][] {{1}}, new int[] {1});
            Tensor y_1xL = Tensors.ids(model.device(), new int[] {1, 2, 3}, 1, 3);
            model.forward(y_1xL).sum().backward();
            for (Parameter parameter : model.parameters()) {
                assertThat(parameter.tensor().grad().defined())
                        .as(parameter.name())
                        .isTrue();
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Dtype.class)
    void aModelThatIsClosedWhileThreadsUseItAnswersClosed(Dtype dtype) throws Exception {
        closedWhileUsed(dtype, model -> {
            model.generate(TOKENIZER, "a").maxTokens(20).tokens();
            model.logProbs(1, 2, 3);
        });
    }

    /** What a caller does with blocks and tensors by itself is not refused, but safe as well. */
    @Test
    void aModelThatIsClosedWhileThreadsUseItsBlocksAnswersClosed() throws Exception {
        closedWhileUsed(Dtype.FLOAT32, model -> {
            try (var scope = Scope.open();
                    var off = Grad.off()) {
                Tensor x_1xLxD = Tensors.zeros(model.device(), 1, 32, 64);
                var pass = PlainPass.over(model, Tensors.zeros(model.device(), 1, 32));
                model.blocks().get(0).forward(x_1xLxD, pass).sum().item_double();
                model.outEmbed().tensor().sum().item_double();
            }
        });
    }

    private static void closedWhileUsed(Dtype dtype, Consumer<DecoderModel> use) throws Exception {
        for (int round = 0; round < 10; round++) {
            var model = model(dtype);
            var running = new CountDownLatch(THREADS);
            Callable<Throwable> work = () -> {
                running.countDown();
                return catchThrowable(() -> {
                    while (true) {
                        use.accept(model);
                    }
                });
            };
            new Thread(() -> {
                        assertThatCode(running::await).doesNotThrowAnyException();
                        model.close();
                    })
                    .start();
            assertThat(together(work)).allSatisfy(answer -> assertThat(answer)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("closed"));
        }
    }

    @Test
    void everythingThatNeedsTheValuesOfAClosedModelIsAnsweredClosed(@TempDir Path directory) {
        var model = model(Dtype.BFLOAT16);
        var generation = model.generate(TOKENIZER, "a");
        model.close();
        model.close();
        try (var scope = Scope.open()) {
            Tensor y_1x2 = Tensors.ids(model.device(), new int[] {1, 2}, 1, 2);
            Tensor x_1x2xD = Tensors.zeros(model.device(), 1, 2, 64);
            PlainPass pass = PlainPass.over(model, y_1x2);
            List<Callable<?>> calls = List.of(
                    generation::text,
                    () -> model.generate(TOKENIZER, "b").allTokens(),
                    () -> model.logProbs(1, 2),
                    () -> model.forward(y_1x2),
                    () -> model.hidden(y_1x2, pass),
                    () -> model.embed(y_1x2, pass),
                    () -> Head.of(model, x_1x2xD, pass),
                    () -> model.outNorm(x_1x2xD, pass),
                    () -> model.blocks().get(0).forward(x_1x2xD, pass),
                    () -> model.outEmbed().tensor(),
                    () -> model.outEmbed().as(Dtype.BFLOAT16),
                    () -> model.outEmbed().slice(),
                    () -> new CachedDecoder(model, 4),
                    () -> {
                        model.save(directory.resolve("model"));
                        return null;
                    });
            for (Callable<?> call : calls) {
                assertThatThrownBy(call::call)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("The model is closed");
            }
            assertThat(directory).isEmptyDirectory();
            assertThat(model.parameterCount()).isPositive();
        }
    }

    @Test
    void memoryIsFreedWhenTheLastCallEnds() {
        var config = TransformerConfig.builder()
                .D(512)
                .H(4)
                .L(32)
                .N(1)
                .F(2048)
                .V(50_000)
                .build();
        long bytes = 50_000L * 512 * 4;
        try (var model = DecoderModel.create(config, 1)) {
            model.logProbs(1, 2);
            long before = Memory.allocatedBytes();
            try (var use = ModelUse.inference(model.parameters())) {
                model.close();
                assertThat(Memory.allocatedBytes()).isGreaterThan(before - bytes / 2);
            }
            assertThat(Memory.allocatedBytes()).isLessThan(before - bytes / 2);
        }
    }
}
