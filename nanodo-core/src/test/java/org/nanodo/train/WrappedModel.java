package org.nanodo.train;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.ModelSpec;
import org.nanodo.model.Parameter;
import org.nanodo.model.TransformerConfig;
import org.nanodo.runtime.Device;

/** Another model, of which a subclass changes something. */
class WrappedModel implements LanguageModel {
    private final LanguageModel model;

    WrappedModel(LanguageModel model) {
        this.model = model;
    }

    @Override
    public TransformerConfig config() {
        return model.config();
    }

    @Override
    public ModelSpec spec() {
        return model.spec();
    }

    @Override
    public Device device() {
        return model.device();
    }

    @Override
    public List<Parameter> parameters() {
        return model.parameters();
    }

    @Override
    public Tensor embed(Tensor y_BxL, Tensor positions_BxL) {
        return model.embed(y_BxL, positions_BxL);
    }

    @Override
    public List<? extends Block> blocks() {
        return model.blocks();
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD) {
        return model.outNorm(y_BxLxD);
    }

    @Override
    public Parameter outEmbed() {
        return model.outEmbed();
    }
}
