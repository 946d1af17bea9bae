package org.nanodo.runtime;

import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Tensors from Java arrays and back. */
public final class Tensors {
    static {
        Natives.start();
    }

    private Tensors() {}

    /** Token ids as int64, which both embedding and loss take. */
    public static Tensor ids(Device device, int[] values, long... shape) {
        try (var scope = Scope.open()) {
            checkLength(values.length, shape);
            Tensor ids = empty(Device.cpu(), ScalarType.Int, shape);
            new IntPointer(ids.data_ptr()).put(values, 0, values.length);
            return scope.export(ids.to(device.torch(), ScalarType.Long));
        }
    }

    /** 0 to n - 1 as int64. */
    public static Tensor range(Device device, long n) {
        checkShape(n);
        try (var scope = Scope.open()) {
            return scope.export(torch.arange(new Scalar(n), device.options(ScalarType.Long)));
        }
    }

    public static Tensor floats(Device device, float[] values, long... shape) {
        try (var scope = Scope.open()) {
            checkLength(values.length, shape);
            Tensor floats = empty(Device.cpu(), ScalarType.Float, shape);
            new FloatPointer(floats.data_ptr()).put(values, 0, values.length);
            return scope.export(floats.to(device.torch(), ScalarType.Float));
        }
    }

    public static Tensor doubles(Device device, double[] values, long... shape) {
        try (var scope = Scope.open()) {
            checkLength(values.length, shape);
            Tensor doubles = empty(Device.cpu(), ScalarType.Double, shape);
            new DoublePointer(doubles.data_ptr()).put(values, 0, values.length);
            return scope.export(doubles.to(device.torch(), ScalarType.Double));
        }
    }

    /** Zeros in float32. */
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

    /** Memory on the host for a tensor's values, page-locked where a GPU will copy into it. */
    public static Tensor hostBuffer(Tensor tensor) {
        try (var scope = Scope.open()) {
            TensorOptions options =
                    Device.cpu().options(type(tensor)).pinned_memory(new BoolOptional(tensor.is_cuda()));
            return scope.export(torch.empty(tensor.shape(), options, null));
        } catch (RuntimeException e) {
            throw NativeErrors.explain(e, "a copy of a tensor on the host");
        }
    }

    /** The same values at the start of a new autograd graph. */
    public static Tensor leaf(Tensor tensor) {
        Tensor leaf = open(tensor).detach();
        leaf.set_requires_grad(true);
        return leaf;
    }

    /** The gradient that a leaf has received. LibTorch's own accessor refers into the leaf and dies with it. */
    public static Tensor gradient(Tensor leaf) {
        return open(leaf).grad().detach();
    }

    /** Its type as a constant of the enum, which can be compared; what the bindings return cannot. */
    public static ScalarType type(Tensor tensor) {
        return open(tensor).scalar_type().intern();
    }

    public static Tensor to(Tensor tensor, Device device) {
        try (var scope = Scope.open()) {
            return scope.export(open(tensor).to(device.torch(), tensor.scalar_type()));
        }
    }

    /** All values in row-major order, as float32. Waits for the device. */
    public static float[] toFloats(Tensor tensor) {
        checkFitsArray(tensor);
        try (var scope = Scope.open()) {
            Tensor host =
                    tensor.detach().to(Device.cpu().torch(), ScalarType.Float).contiguous();
            float[] values = new float[(int) host.numel()];
            if (values.length > 0) { // a tensor of no elements has no memory
                FloatBuffer buffer = host.createBuffer();
                buffer.get(values);
            }
            return values;
        }
    }

    /** All values in row-major order, as float64. Waits for the device. */
    public static double[] toDoubles(Tensor tensor) {
        checkFitsArray(tensor);
        try (var scope = Scope.open()) {
            Tensor host =
                    tensor.detach().to(Device.cpu().torch(), ScalarType.Double).contiguous();
            double[] values = new double[(int) host.numel()];
            if (values.length > 0) { // a tensor of no elements has no memory
                DoubleBuffer buffer = host.createBuffer();
                buffer.get(values);
            }
            return values;
        }
    }

    /** Sets every element. */
    public static void fill(Tensor tensor, double value) {
        try (var scope = Scope.open();
                var off = Grad.off()) {
            open(tensor).fill_(new Scalar(value));
        }
    }

    /** The memory of a contiguous tensor on the host, in parts that a buffer can address. */
    public static List<ByteBuffer> memory(Tensor host) {
        if (!open(host).is_cpu() || !host.is_contiguous()) {
            throw new IllegalArgumentException(
                    "The memory of a tensor that is on a GPU or not contiguous was asked for");
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

    private static void checkFitsArray(Tensor tensor) {
        long values = open(tensor).numel();
        int largest = Integer.MAX_VALUE - 8; // array of most JVMs
        if (values > largest) {
            throw new IllegalArgumentException("A Java array cannot hold the " + values
                    + " values of a tensor of shape " + Arrays.toString(tensor.shape()) + ": take parts of it");
        }
    }

    private static void checkLength(int length, long[] shape) {
        if (length != checkShape(shape)) {
            throw new IllegalArgumentException(
                    length + " values do not make a tensor of shape " + Arrays.toString(shape));
        }
    }

    /** @return the number of elements */
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
