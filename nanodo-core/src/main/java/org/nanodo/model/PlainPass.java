package org.nanodo.model;

import java.util.HashMap;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/** A forward pass for inference, in one autograd graph or in none. */
public class PlainPass implements ForwardPass, AutoCloseable {
    private final Attention attention;
    private final Tensor positions_BxL;
    private final Tensor weights_BxL;
    private final Map<String, Tensor> left = new HashMap<>();
    private UnaryOperator<Tensor> part = UnaryOperator.identity();

    /** Creates a pass over tokens all of which count, at the positions of their columns. */
    public static PlainPass over(LanguageModel model, Tensor y_BxL) {
        Tensor weights_BxL = Tensors.zeros(model.device(), y_BxL.size(0), y_BxL.size(1));
        Tensors.fill(weights_BxL, 1);
        return new PlainPass(Attention.CAUSAL, positions(model, y_BxL.size(1)), weights_BxL);
    }

    /** @param weights_BxL 0 for padding */
    public PlainPass(Attention attention, Tensor positions_BxL, Tensor weights_BxL) {
        this.attention = attention;
        this.positions_BxL = positions_BxL;
        this.weights_BxL = weights_BxL;
    }

    /**
     * Returns the positions of L columns that begin a text, 1xL.
     *
     * @throws IllegalArgumentException if the model has fewer positions
     */
    public static Tensor positions(LanguageModel model, long L) {
        if (L > model.config().L()) {
            throw new IllegalArgumentException("A row of " + L + " tokens is longer than the L="
                    + model.config().L() + " positions of this model");
        }
        return Tensors.range(model.device(), L).unsqueeze(0);
    }

    /** Lets the head compute a part of the positions: {@link #get} then returns this part of what was put. */
    public final void part(UnaryOperator<Tensor> ofTensor_BxLxX) {
        part = ofTensor_BxLxX;
    }

    /** Returns the part that the head computes of a tensor, all of it outside of the head. */
    protected final Tensor partOf(Tensor t_BxLxX) {
        return part.apply(t_BxLxX);
    }

    @Override
    public final Attention attention() {
        return attention;
    }

    @Override
    public final Tensor positions_BxL() {
        return positions_BxL;
    }

    @Override
    public final Tensor weights_BxL() {
        return weights_BxL;
    }

    @Override
    public boolean training() {
        return false;
    }

    @Override
    public Tensor dropout(Tensor x_BxX, double rate) {
        return x_BxX;
    }

    @Override
    public void put(String name, Tensor t_BxLxX) {
        Tensor before = left.put(name, Scope.keep(new Tensor(t_BxLxX)));
        if (before != null) {
            before.close();
        }
    }

    @Override
    public Tensor get(String name) {
        Tensor found = left.get(name);
        if (found == null) {
            throw nothing(name);
        }
        return partOf(new Tensor(found));
    }

    protected static IllegalArgumentException nothing(String name) {
        return new IllegalArgumentException("No earlier block has put \"" + name + "\", which this one reads");
    }

    @Override
    public void loss(String name, Tensor sum) {}

    @Override
    public void close() {
        left.values().forEach(Tensor::close);
        left.clear();
    }
}
