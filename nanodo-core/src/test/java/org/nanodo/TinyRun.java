package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.data.PackedDataset;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.TransformerConfig;
import org.nanodo.optim.Schedule;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Tensors;
import org.nanodo.source.TextSource;
import org.nanodo.tokenizer.Tokenizer;
import org.nanodo.train.Trainer;
import org.nanodo.train.TrainerBuilder;

/** A model, its data and a run of it that take a fraction of a second, and what tests ask of the outcome. */
public final class TinyRun {
    public static final TextSource TEXT = TextSource.of(IntStream.range(0, 60)
            .mapToObj(i -> "The number after " + i + " is " + (i + 1) + ".\n")
            .toArray(String[]::new));
    public static final PackedDataset DATA =
            PackedDataset.of(TEXT).length(24).batch(8).shuffle(5);

    private TinyRun() {}

    public static TransformerConfig config(boolean remat) {
        return TransformerConfig.builder()
                .D(32)
                .H(4)
                .L(24)
                .N(2)
                .V(259)
                .F(64)
                .remat(remat)
                .build();
    }

    public static TrainerBuilder builder(LanguageModel model, long steps) {
        return Trainer.of(model).data(DATA).steps(steps).schedule(Schedule.constant(1e-2));
    }

    /** Copies of a model's parameters, by name. */
    public static Map<String, Tensor> parameters(LanguageModel model) {
        var copies = new LinkedHashMap<String, Tensor>();
        model.parameters().forEach(p -> copies.put(p.name(), p.tensor().detach().clone()));
        return copies;
    }

    public static void assertSameBits(Map<String, Tensor> actual, Map<String, Tensor> expected) {
        expected.forEach((name, tensor) ->
                assertThat(actual.get(name).equal(tensor)).as(name).isTrue());
    }

    /** Two models with the same parameters have the same gradients, to 1e-5. */
    public static void assertSameGradients(LanguageModel actual, LanguageModel expected) {
        for (int i = 0; i < expected.parameters().size(); i++) {
            assertThat(Golden.relativeError(
                            actual.parameters().get(i).tensor().grad(),
                            expected.parameters().get(i).tensor().grad()))
                    .as(expected.parameters().get(i).name())
                    .isLessThan(1e-5);
        }
    }

    /** Decoding token by token, with a cache, has the logits of the forward pass over all tokens, to 1e-5. */
    public static void assertDecodingEqualsForward(LanguageModel model) {
        var decoded = new ArrayList<float[]>();
        Tokenizer tokenizer = Tokenizer.bytes();
        model.generate(tokenizer, "ab")
                .maxTokens(5)
                .sampler((logits, random) -> {
                    decoded.add(logits.clone());
                    return 10;
                })
                .text();
        int[] tokens = {tokenizer.bosId(), tokenizer.encode("ab")[0], tokenizer.encode("ab")[1], 10, 10, 10, 10};
        Tensor logits_LxV =
                model.forward(Tensors.ids(Device.cpu(), tokens, 1, 7)).squeeze(0);
        for (int i = 0; i < 5; i++) {
            assertThat(decoded.get(i)).containsExactly(Tensors.toFloats(logits_LxV.select(0, 2 + i)), within(1e-5f));
        }
    }
}
