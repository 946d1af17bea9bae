package org.nanodo;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.checkpoint.Safetensors;
import org.nanodo.data.Batch;
import org.nanodo.model.DecoderModel;
import org.nanodo.model.FlaxNames;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelFactory;
import org.nanodo.model.Parameter;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Dtype;

/** Numbers of independent implementations in float64. */
public final class Golden implements AutoCloseable {
    private final Path path;
    private final Safetensors file;

    /** NanoDO's. */
    public Golden() throws IOException, URISyntaxException {
        this("nanodo");
    }

    /** @param model of which a small one was computed */
    public Golden(String model) throws IOException, URISyntaxException {
        this(model, "small");
    }

    /** @param kind {@code small}, or {@code runs} or {@code curve} of the original NanoDO itself */
    public Golden(String model, String kind) throws IOException, URISyntaxException {
        path = Path.of(Golden.class
                .getResource("/golden/" + model + "_" + kind + ".safetensors")
                .toURI());
        file = Safetensors.open(path);
    }

    public Set<String> names() {
        return file.names();
    }

    public DecoderModel model() throws IOException {
        return FlaxNames.load(path, "param.", Device.cpu());
    }

    /** The same parameters in a model that computes in another type. */
    public LanguageModel model(Dtype dtype) throws IOException {
        try (var model = model()) {
            TransformerConfig sizes = model.config();
            var config = TransformerConfig.builder()
                    .D(sizes.D())
                    .H(sizes.H())
                    .L(sizes.L())
                    .N(sizes.N())
                    .V(sizes.V())
                    .F(sizes.F())
                    .dtype(dtype)
                    .remat(sizes.remat())
                    .build();
            var copy = ModelFactory.named("nanodo").create(config, Device.cpu(), (name, init, shape) -> {
                try {
                    return tensor("param." + FlaxNames.of(name));
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
            copy.parameters().forEach(Parameter::tensor); // while the file is open
            return copy;
        }
    }

    public Tensor tensor(String name) throws IOException {
        return file.read(name, Device.cpu());
    }

    public double scalar(String name) throws IOException {
        return tensor(name).item_double();
    }

    public double constant(String name) {
        return Double.parseDouble(metadata(name));
    }

    public String metadata(String name) {
        return file.metadata().get(name);
    }

    /** The i-th of five batches; where the next token is the pad id there is nothing to learn. */
    public Batch batch(int i) throws IOException {
        Tensor tokens_BxL = tensor("tokens").select(0, i);
        int B = (int) tokens_BxL.size(0);
        int L = (int) tokens_BxL.size(1);
        int[] tokens = new int[B * L];
        for (int j = 0; j < tokens.length; j++) {
            tokens[j] = (int) tokens_BxL.select(0, j / L).select(0, j % L).item_long();
        }
        Batch batch = Batch.of(L, tokens, L, L, L);
        for (int j = 0; j < tokens.length; j++) {
            batch.weights_BxL()[j] *= batch.targets_BxL()[j] == (int) constant("pad_id") ? 0 : 1;
        }
        return batch;
    }

    /** max|a − b| / max|b| */
    public static double relativeError(Tensor actual, Tensor expected) {
        assertThat(actual.shape()).isEqualTo(expected.shape());
        Tensor a = actual.detach().to(ScalarType.Double);
        Tensor b = expected.to(ScalarType.Double);
        return a.sub(b).abs().max().item_double() / b.abs().max().item_double();
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
