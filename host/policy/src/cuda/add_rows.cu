// Adds rows to rows of a sum, in place: a block for each row of the sum that any is added to. Those that are added to row
// ids[b] are order[starts[b]] to order[starts[b + 1] - 1], and are added up in this order.
#include "common.cuh"

template <typename S, typename T>
__device__ void add_rows(const T *rows, const uint32_t *order, const uint32_t *starts, const uint32_t *ids, S *sum,
                         uint32_t width) {
    const uint32_t first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
    sum += (size_t)ids[blockIdx.x] * width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float total = 0.0f;
        for (uint32_t row = first; row < last; row++) total += wide(rows[(size_t)order[row] * width + i]);
        sum[i] = narrow<S>(wide(sum[i]) + total);
    }
}

#define FOR_TYPES(S, T, SUFFIX)                                                                                       \
    extern "C" __global__ void add_rows_##SUFFIX(const T *rows, const uint32_t *order, const uint32_t *starts,        \
                                                 const uint32_t *ids, S *sum, uint32_t width) {                       \
        add_rows(rows, order, starts, ids, sum, width);                                                               \
    }                                                                                                                 \
    KERNEL(add_rows_##SUFFIX)

FOR_TYPES(float, float, f32_f32)
FOR_TYPES(float, bf16, f32_bf16)
FOR_TYPES(bf16, bf16, bf16_bf16)
