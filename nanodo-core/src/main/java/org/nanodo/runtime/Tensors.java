package org.nanodo.runtime;

import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Creates tensors from Java arrays, and arrays from tensors. */
public final class Tensors {
    static {
        Natives.start();
    }

    private Tensors() {}

    /** Returns token ids as int64, the type that embedding and loss require. */
    public static Tensor ids(Device device, int[] values, long... shape) {
        return copy(values.length, shape, ScalarType.Int, device, ScalarType.Long, memory -> new IntPointer(memory)
                .put(values, 0, values.length));
    }

    public static Tensor floats(Device device, float[] values, long... shape) {
        return copy(values.length, shape, ScalarType.Float, device, ScalarType.Float, memory -> new FloatPointer(memory)
                .put(values, 0, values.length));
    }

    public static Tensor doubles(Device device, double[] values, long... shape) {
        return copy(
                values.length, shape, ScalarType.Double, device, ScalarType.Double, memory -> new DoublePointer(memory)
                        .put(values, 0, values.length));
    }

    private static Tensor copy(
            int length, long[] shape, ScalarType type, Device device, ScalarType result, Consumer<Pointer> put) {
        if (length != checkShape(shape)) {
            throw new IllegalArgumentException(
                    length + " values do not make a tensor of shape " + Arrays.toString(shape));
        }
        try (var scope = Scope.open()) {
            Tensor host = empty(Device.cpu(), type, shape);
            put.accept(host.data_ptr());
            return scope.export(host.to(device.torch(), result));
        }
    }

    /** Returns the numbers from 0 to n - 1 as int64. */
    public static Tensor range(Device device, long n) {
        checkShape(n);
        try (var scope = Scope.open()) {
            return scope.export(torch.arange(new Scalar(n), device.options(ScalarType.Long)));
        }
    }

    /** Returns zeros in float32. */
    public static Tensor zeros(Device device, long... shape) {
        checkShape(shape);
        try (var scope = Scope.open()) {
            return scope.export(torch.zeros(shape, device.options(ScalarType.Float)));
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a tensor of shape " + Arrays.toString(shape));
        }
    }

    public static Tensor empty(Device device, ScalarType type, long... shape) {
        checkShape(shape);
        try (var scope = Scope.open()) {
            return scope.export(torch.empty(shape, device.options(type), null));
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a tensor of shape " + Arrays.toString(shape));
        }
    }

    /** Returns a tensor on the host for a tensor's values, in page-locked memory if a GPU copies into it. */
    public static Tensor hostBuffer(Tensor tensor) {
        try (var scope = Scope.open()) {
            TensorOptions options =
                    Device.cpu().options(type(tensor)).pinned_memory(new BoolOptional(tensor.is_cuda()));
            return scope.export(torch.empty(tensor.shape(), options, null));
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a copy of a tensor on the host");
        }
    }

    /** Returns the same values as a leaf of a new autograd graph. */
    public static Tensor leaf(Tensor tensor) {
        Tensor leaf = open(tensor).detach();
        leaf.set_requires_grad(true);
        return leaf;
    }

    /** Returns the gradient of a leaf. The result of LibTorch's own accessor refers to the leaf and becomes invalid with it. */
    public static Tensor gradient(Tensor leaf) {
        return open(leaf).grad().detach();
    }

    /** Returns the type as a constant of the enum, which can be compared, unlike the bindings' result. */
    public static ScalarType type(Tensor tensor) {
        return open(tensor).scalar_type().intern();
    }

    public static Tensor to(Tensor tensor, Device device) {
        try (var scope = Scope.open()) {
            return scope.export(open(tensor).to(device.torch(), tensor.scalar_type()));
        }
    }

    /** Returns all values in row-major order as float32. Waits for the device. */
    public static float[] toFloats(Tensor tensor) {
        float[] values = new float[arrayLength(tensor)];
        read(tensor, ScalarType.Float, host -> host.<FloatBuffer>createBuffer().get(values));
        return values;
    }

    /** Returns all values in row-major order as float64. Waits for the device. */
    public static double[] toDoubles(Tensor tensor) {
        double[] values = new double[arrayLength(tensor)];
        read(tensor, ScalarType.Double, host -> host.<DoubleBuffer>createBuffer()
                .get(values));
        return values;
    }

    private static void read(Tensor tensor, ScalarType type, Consumer<Tensor> get) {
        try (var scope = Scope.open()) {
            Tensor host = tensor.detach().to(Device.cpu().torch(), type).contiguous();
            if (host.numel() > 0) { // a tensor without elements has no memory
                get.accept(host);
            }
        }
    }

    /** Sets every element to a value. */
    public static void fill(Tensor tensor, double value) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            open(tensor).fill_(new Scalar(value));
        }
    }

    /** Returns the memory of a contiguous tensor on the host in parts that a buffer can address. */
    public static List<ByteBuffer> memory(Tensor host) {
        if (!open(host).is_cpu() || !host.is_contiguous()) {
            throw new IllegalArgumentException(
                    "The memory of a tensor that is on a GPU or not contiguous cannot be accessed");
        }
        long bytes = host.nbytes();
        int part = 1 << 30;
        var parts = new ByteBuffer[(int) ((bytes + part - 1) / part)];
        for (int i = 0; i < parts.length; i++) {
            long start = (long) i * part;
            parts[i] = new BytePointer(host.data_ptr())
                    .position(start)
                    .limit(Math.min(bytes, start + part))
                    .asByteBuffer();
        }
        return List.of(parts);
    }

    private static Tensor open(Tensor tensor) {
        if (tensor.isNull()) {
            throw new IllegalStateException("The tensor is closed");
        }
        return tensor;
    }

    private static int arrayLength(Tensor tensor) {
        long values = open(tensor).numel();
        int largest = Integer.MAX_VALUE - 8; // array of most JVMs
        if (values > largest) {
            throw new IllegalArgumentException("A Java array cannot hold the " + values
                    + " values of a tensor of shape " + Arrays.toString(tensor.shape()) + ": take parts of it");
        }
        return (int) values;
    }

    /** Checks a shape and returns its number of elements. */
    private static long checkShape(long... shape) {
        long elements = 1;
        long most = Long.MAX_VALUE / Double.BYTES;
        for (long size : shape) {
            if (size < 0) {
                throw new IllegalArgumentException(
                        "A tensor of shape " + Arrays.toString(shape) + " has a negative size");
            }
            if (size > 0 && elements > most / size) {
                throw new IllegalArgumentException(
                        "A tensor of shape " + Arrays.toString(shape) + " has more elements than memory has addresses");
            }
            elements *= size;
        }
        return elements;
    }
}
