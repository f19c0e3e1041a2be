// The weights of a model in the form that decoding reads, in one launch: W + scale · B A in the type of activations, with W
// (out, in), A (rank, in) and B (out, rank). A block has a run of the numbers of one weight. sizes[2 i] is the width `in` of
// weight i, and sizes[2 i + 1] the rank of its adapter, 0 without one.
#include "runs.cuh"

template <typename S, typename T>
__device__ void merge(const uint32_t *runs, const uint32_t *counts, const uint32_t *sizes, const float *scales,
                      const S *const *weights, const float *const *as, const float *const *bs, T *const *ys,
                      uint32_t length) {
    const Run run(runs, counts, length);
    const uint32_t width = sizes[2 * run.tensor], rank = sizes[2 * run.tensor + 1];
    const float scale = scales[run.tensor];
    const S *weight = weights[run.tensor];
    T *y = ys[run.tensor];
    const float *a = as[run.tensor], *b = bs[run.tensor];
    for (uint32_t i = run.first + threadIdx.x; i < run.last; i += blockDim.x) {
        const float *row = b + (size_t)(i / width) * rank, *column = a + i % width;
        // Training reads the adapter in the type of activations.
        float change = 0.0f;
        for (uint32_t r = 0; r < rank; r++) change += wide(narrow<T>(row[r])) * wide(narrow<T>(column[(size_t)r * width]));
        y[i] = narrow<T>(wide(weight[i]) + scale * change);
    }
}

#undef FOR_TYPES
#define FOR_TYPES(S, T, SUFFIX)                                                                                       \
    extern "C" __global__ void merge_##SUFFIX(const uint32_t *runs, const uint32_t *counts, const uint32_t *sizes,    \
                                              const float *scales, const S *const *weights, const float *const *as,   \
                                              const float *const *bs, T *const *ys, uint32_t length) {    \
        merge(runs, counts, sizes, scales, weights, as, bs, ys, length);                                  \
    }                                                                                                                 \
    KERNEL(merge_##SUFFIX)

FOR_TYPES(float, float, f32_f32)
FOR_TYPES(float, bf16, f32_bf16)
FOR_TYPES(bf16, bf16, bf16_bf16)
