package org.nanodo.train;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.model.BlockModel;
import org.nanodo.model.ForwardPass;
import org.nanodo.model.LanguageModel;
import org.nanodo.model.Parameter;

/** Another model, of which a subclass changes something. */
class WrappedModel extends BlockModel {
    private final BlockModel model;

    WrappedModel(BlockModel model) {
        super(model.spec(), model.config(), model.device(), null);
        this.model = model;
    }

    @Override
    public List<Parameter> parameters() {
        return model.parameters();
    }

    @Override
    public Tensor embed(Tensor y_BxL, ForwardPass pass) {
        return model.embed(y_BxL, pass);
    }

    @Override
    public List<? extends LanguageModel.Block> blocks() {
        return model.blocks();
    }

    @Override
    public Tensor outNorm(Tensor y_BxLxD, ForwardPass pass) {
        return model.outNorm(y_BxLxD, pass);
    }

    @Override
    public Parameter outEmbed() {
        return model.outEmbed();
    }
}
