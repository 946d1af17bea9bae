package org.nanodo.runtime;

import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;

/** The place of tensors: the CPU, or the CUDA device with an index. */
public record Device(Type type, int index) {
    public enum Type {
        CPU,
        CUDA
    }

    public Device {
        if (index < 0 || type == Type.CPU && index != 0) {
            throw new IllegalArgumentException("There is no device " + type + " " + index);
        }
    }

    public static Device cpu() {
        return new Device(Type.CPU, 0);
    }

    /** @throws IllegalArgumentException if this process sees no such device */
    public static Device cuda(int index) {
        int count = cudaCount();
        if (index >= count) {
            throw new IllegalArgumentException("CUDA device " + index + " does not exist: this process sees " + count
                    + (count == 0 ? ". Use Device.cpu(), or run with the GPU natives on a machine with a driver" : ""));
        }
        return new Device(Type.CUDA, index);
    }

    /** Returns how many CUDA devices this process sees; 0 with the CPU natives. */
    public static int cudaCount() {
        Natives.start();
        return torch.cuda_is_available() ? torch.cuda_device_count() : 0;
    }

    public boolean isCpu() {
        return type == Type.CPU;
    }

    org.bytedeco.pytorch.Device torch() {
        return isCpu()
                ? new org.bytedeco.pytorch.Device(torch.DeviceType.CPU)
                : new org.bytedeco.pytorch.Device(torch.DeviceType.CUDA, (byte) index);
    }

    TensorOptions options(torch.ScalarType type) {
        return new TensorOptions(torch()).dtype(new org.bytedeco.pytorch.ScalarTypeOptional(type));
    }

    @Override
    public String toString() {
        return isCpu() ? "cpu" : "cuda:" + index;
    }
}
