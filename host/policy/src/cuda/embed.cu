// The rows of the embedding for tokens, times `scale`: a block for each. A token with its highest bit set stands for the one that was
// drawn in that row of the step before: `drawn` (rows, 2) has it.
#include "common.cuh"

template <typename T>
__device__ void embed(const T *table, const uint32_t *tokens, const uint32_t *drawn, T *x, uint32_t width,
                      uint32_t vocabulary, float scale) {
    uint32_t token = tokens[blockIdx.x];
    if (token >> 31) token = drawn[2 * (token & 0x7fffffff)];
    // A row that drew nothing goes on with any token: nobody will read it.
    table += (size_t)(token < vocabulary ? token : 0) * width;
    x += (size_t)blockIdx.x * width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) x[i] = narrow<T>(wide(table[i]) * scale);
}

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void embed_##SUFFIX(const T *table, const uint32_t *tokens, const uint32_t *drawn, T *x,    \
                                              uint32_t width, uint32_t vocabulary, float scale) {                     \
        embed(table, tokens, drawn, x, width, vocabulary, scale);                                                     \
    }                                                                                                                 \
    KERNEL(embed_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
