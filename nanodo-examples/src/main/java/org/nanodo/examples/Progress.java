package org.nanodo.examples;

import java.util.Locale;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.nanodo.metrics.Metrics;

/** Shows the progress of a run: a bar with the remaining time on a terminal, otherwise occasional lines. */
final class Progress implements Consumer<Metrics>, AutoCloseable {
    private static final long SILENCE = 20_000_000_000L;

    private final long steps;
    private long shown; // in nanoseconds
    private boolean started;
    private ProgressBar bar;
    private double loss = Double.NaN; // smoothed over about 20 steps, as is tokensPerSecond
    private double tokensPerSecond = Double.NaN;
    private String evaluated = "";

    Progress(long steps) {
        this.steps = steps;
    }

    /** Starts to show progress. Of several ranks, only one should call this. */
    void startFrom(long step) {
        started = true;
        if (System.console() != null) {
            bar = new ProgressBarBuilder()
                    .setTaskName("Training")
                    .setInitialMax(steps)
                    .startsFrom(step, java.time.Duration.ZERO)
                    .setStyle(ProgressBarStyle.ASCII)
                    .setUpdateIntervalMillis(500)
                    .build();
        }
    }

    @Override
    public void accept(Metrics metrics) {
        if (!started) {
            return;
        }
        if (!metrics.has("train_loss")) {
            evaluated = metrics.values().keySet().stream()
                    .filter(name -> name.endsWith("eval_loss"))
                    .map(name -> String.format(
                            Locale.ROOT,
                            "  %s %.3f ± %.3f",
                            name.replace("eval_loss", "val loss"),
                            metrics.get(name),
                            metrics.get(name + "_std")))
                    .collect(Collectors.joining());
            if (bar == null) {
                System.out.println("step " + metrics.step() + evaluated);
            }
            return;
        }
        loss = smooth(loss, metrics.get("train_loss"));
        tokensPerSecond = smooth(tokensPerSecond, metrics.get("tokens_per_sec"));
        String now = String.format(Locale.ROOT, "loss %.3f  %,.0f tokens/s", loss, tokensPerSecond);
        if (bar != null) {
            bar.setExtraMessage(now + evaluated);
            bar.stepTo(metrics.step());
        } else if (metrics.step() % Math.max(1, steps / 20) == 0 || System.nanoTime() - shown > SILENCE) {
            shown = System.nanoTime();
            System.out.println("step " + metrics.step() + " of " + steps + "  " + now);
        }
    }

    private static double smooth(double before, double value) {
        return Double.isNaN(before) ? value : 0.95 * before + 0.05 * value;
    }

    @Override
    public void close() {
        if (bar != null) {
            bar.close();
        }
    }
}
