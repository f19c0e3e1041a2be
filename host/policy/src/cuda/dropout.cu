// Dropout, whose mask is a hash of the elements' indices, the same as in kernels/dropout.rs: a thread for each element.
#include "common.cuh"

__device__ inline uint32_t mix(uint32_t x) {
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

template <typename T>
__device__ void dropout(const T *x, T *y, uint32_t low, uint32_t high, uint32_t threshold, float scale,
                        uint32_t count) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = narrow<T>(mix(mix(i ^ low) ^ high) >= threshold ? wide(x[i]) * scale : 0.0f);
}

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void dropout_##SUFFIX(const T *x, T *y, uint32_t low, uint32_t high, uint32_t threshold,    \
                                                float scale, uint32_t count) {                                        \
        dropout(x, y, low, high, threshold, scale, count);                                                            \
    }                                                                                                                 \
    KERNEL(dropout_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
