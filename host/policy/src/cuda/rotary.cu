// Rotary position embedding: a thread for each pair of elements (i, i + half) of a head.
#include "common.cuh"

template <typename T>
__device__ void rotary(const T *x, const float *cosines, const float *sines, T *y, uint32_t pairs, uint32_t row_pairs,
                       uint32_t half, float sign) {
    uint32_t pair = blockIdx.x * blockDim.x + threadIdx.x;
    if (pair >= pairs) return;
    uint32_t row = pair / row_pairs, i = pair % half;
    size_t low = (size_t)(pair / half) * 2 * half + i, high = low + half;
    float c = cosines[(size_t)row * half + i], s = sign * sines[(size_t)row * half + i];
    float a = wide(x[low]), b = wide(x[high]);
    y[low] = narrow<T>(a * c - b * s);
    y[high] = narrow<T>(b * c + a * s);
}

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void rotary_##SUFFIX(const T *x, const float *cosines, const float *sines, T *y,            \
                                               uint32_t pairs, uint32_t row_pairs, uint32_t half, float sign) {       \
        rotary(x, cosines, sines, y, pairs, row_pairs, half, sign);                                                   \
    }                                                                                                                 \
    KERNEL(rotary_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
