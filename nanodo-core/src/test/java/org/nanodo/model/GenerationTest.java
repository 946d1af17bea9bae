package org.nanodo.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.nanodo.tokenizer.Tokenizer;

class GenerationTest {
    private static final Tokenizer TOKENIZER = Tokenizer.bytes();
    private static final TransformerConfig CONFIG =
            TransformerConfig.builder().D(32).H(4).L(16).N(1).V(259).F(64).build();

    private final DecoderModel model = DecoderModel.create(CONFIG, 1);

    @AfterEach
    void close() {
        model.close();
    }

    @Test
    void theSameSeedGivesTheSameTextAlsoBeyondL() {
        int[] once = model.generate(TOKENIZER, "ab").seed(1).maxTokens(40).tokens();
        assertThat(model.generate(TOKENIZER, "ab").seed(1).maxTokens(40).tokens())
                .isEqualTo(once);
        assertThat(model.generate(TOKENIZER, "ab").seed(2).maxTokens(40).tokens())
                .isNotEqualTo(once);
        assertThat(once).startsWith(TOKENIZER.bosId(), 'a' + 3, 'b' + 3);
    }

    @Test
    void temperatureZeroAndTopOneTakeTheLikeliest() {
        int[] greedy =
                model.generate(TOKENIZER, "ab").temperature(0).maxTokens(10).tokens();
        assertThat(model.generate(TOKENIZER, "ab").topK(1).maxTokens(10).tokens())
                .isEqualTo(greedy);
        assertThat(model.generate(TOKENIZER, "ab").topP(1e-9).maxTokens(10).tokens())
                .isEqualTo(greedy);
        double[] logProbs = model.logProbs(Arrays.copyOf(greedy, 4));
        for (int other = 0; other < CONFIG.V(); other++) {
            int[] instead = Arrays.copyOf(greedy, 4);
            instead[3] = other;
            assertThat(model.logProbs(instead)[2]).isLessThanOrEqualTo(logProbs[2]);
        }
    }

    @Test
    void stopsAtEos() {
        Sampler third = new Sampler() {
            private int calls;

            @Override
            public int sample(float[] logits, java.util.random.RandomGenerator random) {
                return ++calls == 3 ? TOKENIZER.eosId() : 'x' + 3;
            }
        };
        var generation = model.generate(TOKENIZER, "a").sampler(third).maxTokens(10);
        assertThat(generation.tokens()).containsExactly(1, 'a' + 3, 'x' + 3, 'x' + 3, 2);
    }

    @Test
    void eachOfSeveralPromptsContinuesAsItWouldAlone() {
        String[] prompts = {"a rather long one", "", "ab"};
        var together =
                model.generate(TOKENIZER, prompts).temperature(0).maxTokens(12).texts();
        for (int i = 0; i < prompts.length; i++) {
            assertThat(together.get(i))
                    .isEqualTo(model.generate(TOKENIZER, prompts[i])
                            .temperature(0)
                            .maxTokens(12)
                            .text());
        }
        assertThatThrownBy(() -> model.generate(TOKENIZER, prompts).text()).hasMessageContaining("3 prompts");
        assertThatThrownBy(() -> model.generate(TOKENIZER)).hasMessageContaining("no prompt");
    }

    @Test
    void promptsEndOneByOne() {
        Sampler endsOnce = new Sampler() {
            private int calls;

            @Override
            public int sample(float[] logits, java.util.random.RandomGenerator random) {
                return ++calls == 2 ? TOKENIZER.eosId() : 'x' + 3;
            }
        };
        var all = model.generate(TOKENIZER, "a", "b")
                .sampler(endsOnce)
                .maxTokens(3)
                .allTokens();
        assertThat(all.get(0)).containsExactly(1, 'a' + 3, 'x' + 3, 'x' + 3, 'x' + 3);
        assertThat(all.get(1)).containsExactly(1, 'b' + 3, TOKENIZER.eosId());
    }

    @Test
    void textThatMayNotSlideIsRefusedBeforeItStarts() {
        var generation = model.generate(TOKENIZER, "ab").sliding(false);
        assertThat(generation.maxTokens(13).tokens()).hasSizeLessThanOrEqualTo(16);
        assertThatThrownBy(() -> generation.maxTokens(14).tokens())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("3 tokens and 14 new ones outgrow the 15")
                .hasMessageContaining("L=16");
    }

    @Test
    void listenersHearWholeCharactersAsTheyCome() {
        byte[] text = "é–x".getBytes(java.nio.charset.StandardCharsets.UTF_8);
        Sampler dictation = new Sampler() {
            private int next;

            @Override
            public int sample(float[] logits, java.util.random.RandomGenerator random) {
                return (text[next++] & 0xFF) + 3;
            }
        };
        var heard = new ArrayList<String>();
        String whole = model.generate(TOKENIZER, "a")
                .sampler(dictation)
                .maxTokens(text.length)
                .listen(heard::add)
                .text();
        assertThat(heard).containsExactly("é", "–", "x");
        assertThat(whole).isEqualTo("aé–x");
    }

    @Test
    void samplersFollowTheirDistribution() {
        float[] logits = {0, (float) Math.log(2), (float) Math.log(4), (float) Math.log(1)};
        assertThat(frequencies(Sampler.of(1, 100, 1), logits)).containsExactly(0.125, 0.25, 0.5, 0.125);
        assertThat(frequencies(Sampler.of(0.5, 100, 1), logits)).containsExactly(1 / 22., 4 / 22., 16 / 22., 1 / 22.);
        assertThat(frequencies(Sampler.of(1, 2, 1), logits)).containsExactly(0, 1 / 3., 2 / 3., 0);
        assertThat(frequencies(Sampler.of(1, 100, 0.6), logits)).containsExactly(0, 1 / 3., 2 / 3., 0);
        assertThat(frequencies(Sampler.of(1, 100, 0.5), logits)).containsExactly(0, 0, 1, 0);
    }

    @Test
    void badSettingsAreNamed() {
        assertThatThrownBy(() -> model.generate(TOKENIZER, "").temperature(-1).text())
                .hasMessageContaining("temperature");
        assertThatThrownBy(() -> model.generate(TOKENIZER, "").topP(0).text()).hasMessageContaining("top-p");
        assertThatThrownBy(() -> model.generate(Tokenizer.gpt2(), "a"))
                .hasMessageContaining("50257 ids")
                .hasMessageContaining("V=259");
    }

    /** Measured over many draws, rounded to the nearest of the fractions expected when close to it. */
    private static double[] frequencies(Sampler sampler, float[] logits) {
        var random = new SplittableRandom(1);
        var counts = new HashMap<Integer, Integer>();
        int draws = 200_000;
        for (int i = 0; i < draws; i++) {
            counts.merge(sampler.sample(logits.clone(), random), 1, Integer::sum);
        }
        double[] fractions = {0, 0.125, 0.25, 0.5, 1 / 22., 4 / 22., 16 / 22., 1 / 3., 2 / 3., 1};
        return java.util.stream.IntStream.range(0, logits.length)
                .mapToDouble(i -> counts.getOrDefault(i, 0) / (double) draws)
                .map(f -> Arrays.stream(fractions)
                        .filter(x -> Math.abs(x - f) < 5e-3)
                        .findFirst()
                        .orElse(f))
                .toArray();
    }
}
