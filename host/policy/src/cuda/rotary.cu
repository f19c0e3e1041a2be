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

// Rotates the queries and keys of rows at `positions`, and writes the keys and values to their places in a cache. A row of
// `qkv` has query_heads + 2 kv_heads heads, to which `bias` is added if `biased`. A block for each row.
template <typename T>
__device__ void rotary_write(const T *qkv, const T *bias, const float *cosines, const float *sines,
                             const uint32_t *positions, const uint32_t *places, T *keys, T *values, T *q,
                             uint32_t query_heads, uint32_t kv_heads, uint32_t half, uint32_t biased) {
    const uint32_t dim = 2 * half, turned = (query_heads + kv_heads) * half;
    qkv += (size_t)blockIdx.x * (query_heads + 2 * kv_heads) * dim;
    q += (size_t)blockIdx.x * query_heads * dim;
    keys += (size_t)places[blockIdx.x] * kv_heads * dim;
    values += (size_t)places[blockIdx.x] * kv_heads * dim;
    cosines += (size_t)positions[blockIdx.x] * half;
    sines += (size_t)positions[blockIdx.x] * half;
    auto element = [&](uint32_t i) { return biased ? narrow<T>(wide(qkv[i]) + wide(bias[i])) : qkv[i]; };
    for (uint32_t pair = threadIdx.x; pair < turned; pair += blockDim.x) {
        const uint32_t head = pair / half, i = pair % half, low = head * dim + i;
        const float a = wide(element(low)), b = wide(element(low + half)), c = cosines[i], s = sines[i];
        T *out = head < query_heads ? q + low : keys + (low - query_heads * dim);
        out[0] = narrow<T>(a * c - b * s);
        out[half] = narrow<T>(b * c + a * s);
    }
    for (uint32_t i = threadIdx.x; i < kv_heads * dim; i += blockDim.x) values[i] = element(2 * turned + i);
}

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void rotary_##SUFFIX(const T *x, const float *cosines, const float *sines, T *y,            \
                                               uint32_t pairs, uint32_t row_pairs, uint32_t half, float sign) {       \
        rotary(x, cosines, sines, y, pairs, row_pairs, half, sign);                                                   \
    }                                                                                                                 \
    extern "C" __global__ void rotary_write_##SUFFIX(                                                                 \
        const T *qkv, const T *bias, const float *cosines, const float *sines, const uint32_t *positions,             \
        const uint32_t *places, T *keys, T *values, T *q, uint32_t query_heads, uint32_t kv_heads, uint32_t half,     \
        uint32_t biased) {                                                                                            \
        rotary_write(qkv, bias, cosines, sines, positions, places, keys, values, q, query_heads, kv_heads, half,      \
                     biased);                                                                                         \
    }                                                                                                                 \
    KERNEL(rotary_##SUFFIX)                                                                                           \
    KERNEL(rotary_write_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
