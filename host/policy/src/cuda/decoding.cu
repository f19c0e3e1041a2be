// Attention of one query for each row over a cache, and the writing of the cache. A cache is a pool of places, (places, kv
// heads * dim). A row's places are spans of consecutive ones: (first, count) pairs, of which unused ones have the count 0. It
// attends to the last `window` of its places.
#include "common.cuh"

const int WARPS = 4;

// Returns the product of a query in shared memory with a key.
template <typename T>
__device__ inline float product(const float *query, const T *key, uint32_t dim) {
    float sum = 0.0f;
    if (dim % 8 != 0) {
        for (uint32_t d = 0; d < dim; d++) sum += query[d] * wide(key[d]);
        return sum;
    }
    for (uint32_t d = 0; d < dim; d += 8) {
        const Eight<T> part = *(const Eight<T> *)(key + d);
#pragma unroll
        for (int i = 0; i < 8; i++) sum += query[d + i] * wide(part.x[i]);
    }
    return sum;
}

// A block for each row and query head. Its warps take tiles of 32 places of a span in turn. A lane has the score of one
// place, and then the sums of every 32nd element of the head; the warps' sums are merged in order.
// A lane holds at most HELD elements of a head. Without a window, all places are attended to.
template <int HELD, bool WINDOWED, typename T>
__device__ void decoding_attention(const T *q, const T *keys, const T *values, const uint32_t *spans, T *out,
                                   uint32_t heads, uint32_t repeats, uint32_t dim, uint32_t row_spans, float scale,
                                   uint32_t window) {
    __shared__ float query[HELD * 32], most_of[WARPS], sum_of[WARPS], sums_of[WARPS][HELD * 32];
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = blockIdx.x, head = blockIdx.y;
    const size_t stride = (size_t)(heads / repeats) * dim;
    q += ((size_t)row * heads + head) * dim, out += ((size_t)row * heads + head) * dim;
    keys += (size_t)(head / repeats) * dim, values += (size_t)(head / repeats) * dim;
    spans += (size_t)row * row_spans * 2;
    for (uint32_t d = threadIdx.x; d < dim; d += blockDim.x) query[d] = wide(q[d]) * scale;
    __syncthreads();
    float sums[HELD] = {}, most = -INFINITY, sum = 0.0f;
    // Places before the window.
    uint32_t before = 0;
    if (WINDOWED) {
        for (uint32_t span = 0; span < row_spans; span++) before += spans[2 * span + 1];
        before = before > window ? before - window : 0;
    }
    uint32_t tile = 0;
    for (uint32_t span = 0; span < row_spans; span++) {
        uint32_t from = spans[2 * span], count = spans[2 * span + 1];
        if (WINDOWED) {
            const uint32_t skipped = before < count ? before : count;
            from += skipped, count -= skipped, before -= skipped;
        }
        for (uint32_t start = 0; start < count; start += 32, tile++) {
            if (tile % WARPS != warp) continue;
            const uint32_t here = count - start < 32 ? count - start : 32;
            const size_t first = (size_t)(from + start) * stride;
            const float score = lane < here ? product(query, keys + first + lane * stride, dim) : -INFINITY;
            const float highest = fmaxf(most, lane_max(score, 32)), kept = expf(most - highest);
            const float weight = expf(score - highest);
            most = highest;
            sum = sum * kept + lane_sum(weight, 32);
#pragma unroll
            for (int i = 0; i < HELD; i++) sums[i] *= kept;
#pragma unroll 4
            for (uint32_t place = 0; place < here; place++) {
                const float share = __shfl_sync(ALL_LANES, weight, place);
#pragma unroll
                for (int i = 0; i < HELD; i++)
                    if (lane + 32 * i < dim) sums[i] += share * wide(values[first + place * stride + lane + 32 * i]);
            }
        }
    }
    if (lane == 0) most_of[warp] = most, sum_of[warp] = sum;
#pragma unroll
    for (int i = 0; i < HELD; i++) sums_of[warp][lane + 32 * i] = sums[i];
    __syncthreads();
    float highest = most_of[0];
    for (int other = 1; other < WARPS; other++) highest = fmaxf(highest, most_of[other]);
    for (uint32_t d = threadIdx.x; d < dim; d += blockDim.x) {
        float total = 0.0f, weighted = 0.0f;
        for (int other = 0; other < WARPS; other++) {
            // A warp without a place has no part.
            const float kept = most_of[other] == -INFINITY ? 0.0f : expf(most_of[other] - highest);
            total += sum_of[other] * kept;
            weighted += sums_of[other][d] * kept;
        }
        out[d] = narrow<T>(weighted / total);
    }
}

// A block for each row, which it copies to its place.
template <typename T>
__device__ void cache_write(const uint32_t *places, const T *k, const T *v, T *keys, T *values, uint32_t width) {
    const size_t from = (size_t)blockIdx.x * width, to = (size_t)places[blockIdx.x] * width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        keys[to + i] = k[from + i];
        values[to + i] = v[from + i];
    }
}

#undef FOR_TYPE
#define FOR_WINDOW(NAME, HELD, WINDOWED, T)                                                                           \
    extern "C" __global__ void NAME(const T *q, const T *keys, const T *values, const uint32_t *spans, T *out,        \
                                    uint32_t heads, uint32_t repeats, uint32_t dim, uint32_t row_spans, float scale,  \
                                    uint32_t window) {                                                                \
        decoding_attention<HELD, WINDOWED>(q, keys, values, spans, out, heads, repeats, dim, row_spans, scale,        \
                                           window);                                                                   \
    }                                                                                                                 \
    KERNEL(NAME)

#define FOR_HELD(HELD, WIDTH, T, SUFFIX)                                                                              \
    FOR_WINDOW(decoding_attention_##WIDTH##_##SUFFIX, HELD, false, T)                                                 \
    FOR_WINDOW(windowed_decoding_attention_##WIDTH##_##SUFFIX, HELD, true, T)

#define FOR_TYPE(T, SUFFIX)                                                                                           \
    FOR_HELD(2, 64, T, SUFFIX)                                                                                        \
    FOR_HELD(4, 128, T, SUFFIX)                                                                                       \
    FOR_HELD(8, 256, T, SUFFIX)                                                                                       \
    extern "C" __global__ void cache_write_##SUFFIX(const uint32_t *places, const T *k, const T *v, T *keys,          \
                                                    T *values, uint32_t width) {                                      \
        cache_write(places, k, v, keys, values, width);                                                               \
    }                                                                                                                 \
    KERNEL(cache_write_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
