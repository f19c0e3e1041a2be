// Gated linear units, activation(gate) * up: a thread for each element. An activation is x * logistic(z), and has z and its
// derivative.
#include "common.cuh"

__device__ inline float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

// SwiGLU.
struct Silu {
    static __device__ inline float logit(float x) { return x; }
    static __device__ inline float slope(float) { return 1.0f; }
};

// GeGLU, with the hyperbolic tangent: z = sqrt(8 / pi) * (x + 0.044715 x^3).
struct GeluTanh {
    static constexpr float LINEAR = 1.5957691216057308f, CUBIC = 0.07135481282f;
    static __device__ inline float logit(float x) { return x * (LINEAR + CUBIC * x * x); }
    static __device__ inline float slope(float x) { return LINEAR + 3.0f * CUBIC * x * x; }
};

template <typename A, typename T>
__device__ void glu(const T *gate, const T *up, T *y, uint32_t count) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = narrow<T>(wide(gate[i]) * logistic(A::logit(wide(gate[i]))) * wide(up[i]));
}

// The same of rows that hold their gates and then their ups. A block for each row.
template <typename A, typename T>
__device__ void glu_joined(const T *gate_up, T *y, uint32_t width) {
    gate_up += (size_t)blockIdx.x * 2 * width;
    y += (size_t)blockIdx.x * width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x)
        y[i] = narrow<T>(wide(gate_up[i]) * logistic(A::logit(wide(gate_up[i]))) * wide(gate_up[width + i]));
}

template <typename A, typename T>
__device__ void glu_backward(const T *gate, const T *up, const T *grad, T *dgate, T *dup, uint32_t count) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float x = wide(gate[i]), g = wide(grad[i]), s = logistic(A::logit(x));
    dgate[i] = narrow<T>(g * wide(up[i]) * s * (1.0f + x * A::slope(x) * (1.0f - s)));
    dup[i] = narrow<T>(g * x * s);
}

#define FOR_ACTIVATION(NAME, A, T, SUFFIX)                                                                            \
    extern "C" __global__ void NAME##_##SUFFIX(const T *gate, const T *up, T *y, uint32_t count) {                    \
        glu<A>(gate, up, y, count);                                                                                   \
    }                                                                                                                 \
    extern "C" __global__ void NAME##_joined_##SUFFIX(const T *gate_up, T *y, uint32_t width) {                       \
        glu_joined<A>(gate_up, y, width);                                                                             \
    }                                                                                                                 \
    extern "C" __global__ void NAME##_backward_##SUFFIX(const T *gate, const T *up, const T *grad, T *dgate, T *dup,  \
                                                        uint32_t count) {                                             \
        glu_backward<A>(gate, up, grad, dgate, dup, count);                                                           \
    }                                                                                                                 \
    KERNEL(NAME##_##SUFFIX)                                                                                           \
    KERNEL(NAME##_joined_##SUFFIX)                                                                                    \
    KERNEL(NAME##_backward_##SUFFIX)

FOR_ACTIVATION(swiglu, Silu, float, f32)
FOR_ACTIVATION(swiglu, Silu, bf16, bf16)
FOR_ACTIVATION(geglu, GeluTanh, float, f32)
FOR_ACTIVATION(geglu, GeluTanh, bf16, bf16)
