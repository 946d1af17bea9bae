package org.nanodo.train;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.nanodo.model.Attention;
import org.nanodo.model.Parameter;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * A forward pass in which the embedding and each block are separate autograd graphs, called visits. What one leaves to others is
 * a leaf for them, in which autograd adds up their gradients. The visit's own backward pass then starts from several roots: its
 * output, what it left, and its losses. With recomputation, roots are of the last computation, leaves of the first.
 */
final class WalkPass extends TrainingPass {
    /** A tensor that a visit left: root in its own graph, leaf in those of the readers. */
    private static final class Left {
        private Tensor root;
        private Tensor leaf;

        void root(Tensor tensor) {
            close(root);
            root = tensor == null ? null : Scope.keep(new Tensor(tensor));
        }

        private static void close(Tensor tensor) {
            if (tensor != null) {
                tensor.close();
            }
        }

        void close() {
            root(null);
            close(leaf);
        }
    }

    /** The state of one visit between its forward and its backward pass. */
    static final class Visit {
        private final Collection<Parameter> parameters;
        private final Map<String, Left> before;
        private final int dropouts;
        private final Map<String, Left> own = new LinkedHashMap<>();
        private List<Tensor> losses = List.of();

        private Visit(Collection<Parameter> parameters, Map<String, Left> before, int dropouts) {
            this.parameters = parameters;
            this.before = before;
            this.dropouts = dropouts;
        }
    }

    private final List<Visit> visits = new ArrayList<>();
    private Map<String, Left> left = Map.of();
    private Visit visit;
    private boolean again;

    WalkPass(MicroBatch micro, Attention attention, Tensor positions_BxL, Tensor weights_BxL) {
        super(micro, attention, positions_BxL, weights_BxL);
    }

    /** Begins the visit of the embedding or the next block, which has these parameters. */
    Visit begin(Collection<Parameter> parameters) {
        visit = new Visit(parameters, left, dropouts());
        visits.add(visit);
        return visit;
    }

    /** Ends a visit's forward pass. */
    void end() {
        visit.losses = takeLosses();
        if (!visit.own.isEmpty()) {
            left = new HashMap<>(left);
            visit.own.forEach((name, own) -> {
                own.leaf = Scope.keep(own.root.detach());
                if (own.leaf.is_floating_point()) {
                    own.leaf.set_requires_grad(true);
                }
                if (!own.root.requires_grad()) {
                    own.root(null); // nothing to differentiate, or to be computed again
                }
                left.put(name, own);
            });
        }
    }

    /** Begins the recomputation of a visit, after which {@link #backward} uses its roots. */
    void recompute(Visit earlier) {
        visit = earlier;
        again = true;
        dropouts(earlier.dropouts);
    }

    /** Ends the forward passes: what follows is the head. */
    void beginHead() {
        visit = null;
    }

    @Override
    public void put(String name, Tensor t_BxLxX) {
        if (visit == null) {
            throw new IllegalStateException("The head cannot put \"" + name + "\": nothing follows that could read it");
        }
        if (!again && visit.parameters.stream().anyMatch(p -> p.sharesMemoryWith(t_BxLxX))) {
            throw new IllegalArgumentException("\"" + name + "\" is a parameter, or a view of one, whose memory may be "
                    + "freed before it is read: put a clone, or read the parameter where it is needed");
        }
        visit.own.computeIfAbsent(name, any -> new Left()).root(t_BxLxX);
    }

    @Override
    public Tensor get(String name) {
        Left own = visit == null ? null : visit.own.get(name);
        if (own != null && own.root != null) {
            return new Tensor(own.root);
        }
        Left earlier = (visit == null ? left : visit.before).get(name);
        if (earlier == null) {
            throw nothing(name);
        }
        Tensor leaf = new Tensor(earlier.leaf);
        return visit == null ? partOf(leaf) : leaf;
    }

    @Override
    public void loss(String name, Tensor sum) {
        if (again) {
            add(sum); // it was reported by the first computation
        } else {
            super.loss(name, sum);
        }
    }

    /**
     * Runs a visit's backward pass and frees what it left.
     *
     * @param gradient_BxLxD null if nothing that follows has a gradient
     */
    void backward(Visit visit, Tensor output_BxLxD, Tensor gradient_BxLxD) {
        if (again) {
            visit.losses.forEach(Tensor::close);
            visit.losses = takeLosses();
        }
        var roots = new TensorVector();
        var gradients = new TensorVector();
        if (output_BxLxD.requires_grad() && gradient_BxLxD != null) {
            roots.push_back(output_BxLxD);
            gradients.push_back(gradient_BxLxD);
        }
        for (Left own : visit.own.values()) {
            if (own.root != null && own.root.requires_grad() && own.leaf.grad().defined()) {
                roots.push_back(own.root);
                gradients.push_back(Tensors.gradient(own.leaf));
            }
        }
        for (Tensor loss : visit.losses) {
            roots.push_back(loss);
            gradients.push_back(torch.ones_like(loss));
        }
        if (roots.size() > 0) {
            torch.backward(roots, gradients, new BoolOptional(), false, new TensorVector());
        }
        visit.own.values().forEach(Left::close);
        visit.own.clear();
        visit.losses.forEach(Tensor::close);
        visit.losses = List.of();
    }

    @Override
    public void close() {
        for (Visit each : visits) {
            each.own.values().forEach(Left::close);
            each.losses.forEach(Tensor::close);
        }
        visits.clear();
        super.close();
    }
}
