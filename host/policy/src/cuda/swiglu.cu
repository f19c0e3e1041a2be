// SwiGLU, silu(gate) * up: a thread for each element.
#include "common.cuh"

__device__ inline float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

template <typename T>
__device__ void swiglu(const T *gate, const T *up, T *y, uint32_t count) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = narrow<T>(wide(gate[i]) * logistic(wide(gate[i])) * wide(up[i]));
}

// The same of rows that hold their gates and then their ups. A block for each row.
template <typename T>
__device__ void swiglu_joined(const T *gate_up, T *y, uint32_t width) {
    gate_up += (size_t)blockIdx.x * 2 * width;
    y += (size_t)blockIdx.x * width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x)
        y[i] = narrow<T>(wide(gate_up[i]) * logistic(wide(gate_up[i])) * wide(gate_up[width + i]));
}

template <typename T>
__device__ void swiglu_backward(const T *gate, const T *up, const T *grad, T *dgate, T *dup, uint32_t count) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float x = wide(gate[i]), g = wide(grad[i]), s = logistic(x);
    dgate[i] = narrow<T>(g * wide(up[i]) * s * (1.0f + x * (1.0f - s)));
    dup[i] = narrow<T>(g * x * s);
}

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void swiglu_##SUFFIX(const T *gate, const T *up, T *y, uint32_t count) {                    \
        swiglu(gate, up, y, count);                                                                                   \
    }                                                                                                                 \
    extern "C" __global__ void swiglu_joined_##SUFFIX(const T *gate_up, T *y, uint32_t width) {                       \
        swiglu_joined(gate_up, y, width);                                                                             \
    }                                                                                                                 \
    extern "C" __global__ void swiglu_backward_##SUFFIX(const T *gate, const T *up, const T *grad, T *dgate, T *dup,  \
                                                        uint32_t count) {                                             \
        swiglu_backward(gate, up, grad, dgate, dup, count);                                                           \
    }                                                                                                                 \
    KERNEL(swiglu_##SUFFIX)                                                                                           \
    KERNEL(swiglu_joined_##SUFFIX)                                                                                    \
    KERNEL(swiglu_backward_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
