// The rows of the embedding for tokens: a block for each.
#include "common.cuh"

template <typename T>
__device__ void embed(const T *table, const uint32_t *tokens, T *x, uint32_t width) {
    table += (size_t)tokens[blockIdx.x] * width;
    x += (size_t)blockIdx.x * width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) x[i] = table[i];
}

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void embed_##SUFFIX(const T *table, const uint32_t *tokens, T *x, uint32_t width) {         \
        embed(table, tokens, x, width);                                                                               \
    }                                                                                                                 \
    KERNEL(embed_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
