package org.nanodo.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.function.Consumer;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nanodo.TinyRun;
import org.nanodo.metrics.Metrics;
import org.nanodo.model.DecoderModel;
import org.nanodo.tokenizer.Tokenizer;

/** Other threads that use or close a trainer or its model during a run. */
class TrainerThreadsTest {
    private static final Tokenizer TOKENIZER = Tokenizer.bytes();

    @TempDir
    Path workdir;

    private final DecoderModel model = DecoderModel.create(TinyRun.config(false), 1);

    @AfterEach
    void close() {
        model.close();
    }

    /** Returns what a call on another thread throws, or null. */
    private static Throwable onAnotherThread(ThrowingCallable call) throws Exception {
        var task = new FutureTask<>(() -> catchThrowable(call));
        new Thread(task).start();
        return task.get();
    }

    /** Returns a listener that does some work once, at the first step's metrics. */
    private static Consumer<Metrics> once(ThrowingCallable work) {
        return metrics -> {
            if (metrics.step() == 1) {
                try {
                    work.call();
                } catch (Throwable e) {
                    throw new AssertionError(e);
                }
            }
        };
    }

    @Test
    void duringARunOnlyItsThreadMayInfer() throws Exception {
        var texts = new String[1];
        var refused = new Throwable[3];
        try (var trainer = TinyRun.builder(model, 2)
                .listen(once(() -> {
                    texts[0] = model.generate(TOKENIZER, "a").maxTokens(3).text();
                    refused[0] =
                            onAnotherThread(() -> model.generate(TOKENIZER, "a").text());
                    refused[1] = onAnotherThread(() -> model.logProbs(1, 2));
                    refused[2] = onAnotherThread(() -> model.save(workdir.resolve("model")));
                }))
                .build()) {
            trainer.run();
        }
        assertThat(texts[0]).startsWith("a");
        assertThat(refused).allSatisfy(e -> assertThat(e)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("is being trained by the thread \""
                        + Thread.currentThread().getName() + "\""));
        assertThat(onAnotherThread(() -> model.logProbs(1, 2))).isNull();
    }

    @Test
    void noRunStartsWhileAnotherThreadInfers() throws Exception {
        try (var trainer = TinyRun.builder(model, 2).build()) {
            var generation = model.generate(TOKENIZER, "a").maxTokens(2).listen(text -> {
                try {
                    assertThat(onAnotherThread(trainer::run))
                            .isInstanceOf(IllegalStateException.class)
                            .hasMessageContaining("cannot be trained while 1 call(s) generate or evaluate");
                } catch (Exception e) {
                    throw new AssertionError(e);
                }
            });
            generation.text();
            trainer.run();
            assertThat(trainer.step()).isEqualTo(2);
        }
    }

    @Test
    void aModelHasOneTrainerAtATime() throws Exception {
        var refused = new Throwable[2];
        try (var other = TinyRun.builder(model, 1).build()) {
            var trainer = new Trainer[1];
            trainer[0] = TinyRun.builder(model, 2)
                    .listen(once(() -> {
                        refused[0] = onAnotherThread(other::run);
                        refused[1] = onAnotherThread(trainer[0]::run);
                    }))
                    .build();
            trainer[0].run();
            trainer[0].close();
        }
        assertThat(refused[0]).hasMessageContaining("is being trained by the thread");
        assertThat(refused[1]).hasMessageContaining("This trainer is in use by the thread");
    }

    @Test
    void aTrainerClosedByAnotherThreadEndsItsRunWithACheckpoint() throws Exception {
        var closed = new CountDownLatch(1);
        var trainer = new Trainer[1];
        trainer[0] = TinyRun.builder(model, 1_000_000)
                .checkpoints(workdir)
                .listen(once(() -> new Thread(() -> {
                            trainer[0].close();
                            closed.countDown();
                        })
                        .start()))
                .build();
        trainer[0].run();
        closed.await();
        long step = trainer[0].step();
        assertThatThrownBy(trainer[0]::run).hasMessageContaining("This trainer is closed");
        assertThatThrownBy(trainer[0]::resume).hasMessageContaining("This trainer is closed");
        assertThatThrownBy(() -> trainer[0].restoreFrom(workdir)).hasMessageContaining("This trainer is closed");
        trainer[0].close();
        try (var resumed =
                TinyRun.builder(model, 1_000_000).checkpoints(workdir).build()) {
            assertThat(resumed.resume().step()).isEqualTo(step).isLessThan(1_000_000);
        }
    }

    @Test
    void aTrainerClosedByItsListenerEndsItsRun() throws Exception {
        var trainer = new Trainer[1];
        trainer[0] = TinyRun.builder(model, 1_000_000)
                .listen(once(() -> trainer[0].close()))
                .build();
        trainer[0].run();
        assertThat(trainer[0].step()).isLessThan(10);
        assertThatThrownBy(trainer[0]::run).hasMessageContaining("This trainer is closed");
    }

    @Test
    void aListenerMayCloseTheTensorsThatItAsksFor() throws Exception {
        try (var trainer = TinyRun.builder(model, 3)
                .listen(metrics -> model.parameters()
                        .forEach(parameter -> parameter.tensor().close()))
                .build()) {
            trainer.run();
        }
        assertThat(model.generate(TOKENIZER, "a").maxTokens(2).text()).startsWith("a");
    }

    /** Clearing the gradients of a closed model fails too, which must not hide why the run ended. */
    @Test
    void whatEndedARunIsToldThoughItsModelWasClosed() throws Exception {
        try (var mine = DecoderModel.create(TinyRun.config(false), 1);
                var trainer = TinyRun.builder(mine, 3)
                        .listen(metrics -> {
                            mine.close();
                            throw new IllegalArgumentException("mine");
                        })
                        .build()) {
            assertThatThrownBy(trainer::run).hasMessage("mine");
        }
    }

    @Test
    void aModelClosedDuringARunEndsItWithAMessage() throws Exception {
        for (int round = 0; round < 5; round++) {
            try (var mine = DecoderModel.create(TinyRun.config(round % 2 == 0), 1);
                    var trainer = TinyRun.builder(mine, 1_000_000)
                            .listen(once(() -> new Thread(mine::close).start()))
                            .build()) {
                assertThatThrownBy(trainer::run)
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("The model is closed");
                assertThatThrownBy(trainer::run).hasMessageContaining("closed");
            }
        }
    }
}
