// Causal attention with grouped queries over a packed batch. A query attends to the rows of its prompt, and to the rows
// of its own part (the prompt itself, or a completion) up to itself; of these to the last `window`. Scores are computed in
// tiles of 32 x 32 and never stored; the backward pass computes them again from the log-sum-exp of each row.
//
// A block has 128 threads: 16 groups of 8 lanes. A group has 2 rows of the tile, and its lanes divide the columns (keys, or
// elements of a head) between them, so that sums over a row are sums over 8 lanes. Each sum runs in a fixed order.
#include "attention.cuh"

const int ROWS = 2;
const int LANES = 8;
// One more than a multiple of the 32 memory banks, so that a column of a tile lies in 32 banks.
const int PAD = 1;

// Copies rows of one head to shared memory, as floats. `row_of(i)` is the row of tile row i; rows from `count` on are 0.
template <int DIM, typename T, typename RowOf>
__device__ void load_tile(float *tile, const T *x, size_t stride, int dim, int count, RowOf row_of) {
    for (int at = threadIdx.x; at < TILE * DIM; at += blockDim.x) {
        int i = at / DIM, d = at % DIM;
        tile[i * (DIM + PAD) + d] = i < count && d < dim ? wide(x[(size_t)row_of(i) * stride + d]) : 0.0f;
    }
}

// Adds to out[r][c] the products of row (group * 2 + r) of a with row (lane + 8 c) of b.
template <int DIM>
__device__ inline void row_products(const float *a, const float *b, float out[ROWS][TILE / LANES]) {
    const int group = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    for (int d = 0; d < DIM; d++)
        #pragma unroll
        for (int r = 0; r < ROWS; r++)
            #pragma unroll
            for (int c = 0; c < TILE / LANES; c++)
                out[r][c] += a[(group * ROWS + r) * (DIM + PAD) + d] * b[(lane + LANES * c) * (DIM + PAD) + d];
}

// Adds to out[r][c] the product of row (group * 2 + r) of the square tile `weights` with column (lane + 8 c) of b.
template <int DIM>
__device__ inline void weighted_sums(const float *weights, const float *b, float out[ROWS][DIM / LANES]) {
    const int group = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    for (int k = 0; k < TILE; k++)
        #pragma unroll
        for (int r = 0; r < ROWS; r++)
            #pragma unroll
            for (int c = 0; c < DIM / LANES; c++)
                out[r][c] += weights[(group * ROWS + r) * (TILE + PAD) + k] * b[k * (DIM + PAD) + lane + LANES * c];
}

// Writes the output and the log-sum-exp of each row and head; only the latter if `sums_only`.
template <int DIM, typename T>
__device__ void forward(const T *q, const T *k, const T *v, const uint32_t *tiles, T *out, float *log_sums, int heads,
                        int repeats, int dim, float scale, int window,
                        uint32_t sums_only) {
    DYNAMIC_SHARED(float, shared);
    float *query_tile = shared, *key_tile = query_tile + TILE * (DIM + PAD), *weights = key_tile + TILE * (DIM + PAD);
    const int group = threadIdx.x / LANES, lane = threadIdx.x % LANES, head = blockIdx.y;
    const Queries tile(tiles + blockIdx.x * 5, window);
    const size_t q_stride = (size_t)heads * dim, kv_stride = (size_t)(heads / repeats) * dim;
    q += (size_t)head * dim, out += (size_t)head * dim;
    k += (size_t)(head / repeats) * dim, v += (size_t)(head / repeats) * dim;

    load_tile<DIM>(query_tile, q, q_stride, dim, tile.count, [&](int i) { return tile.row + i; });
    float most[ROWS], sum[ROWS], sums[ROWS][DIM / LANES];
    #pragma unroll
    for (int r = 0; r < ROWS; r++) {
        most[r] = -INFINITY, sum[r] = 0.0f;
        #pragma unroll
        for (int c = 0; c < DIM / LANES; c++) sums[r][c] = 0.0f;
    }
    for (int first = tile.first_key(); first < tile.keys(); first += TILE) {
        int count = tile.keys() - first < TILE ? tile.keys() - first : TILE;
        auto row_of = [&](int i) { return tile.key_row(first + i); };
        __syncthreads();
        load_tile<DIM>(key_tile, k, kv_stride, dim, count, row_of);
        __syncthreads();
        float scores[ROWS][TILE / LANES] = {};
        row_products<DIM>(query_tile, key_tile, scores);
        #pragma unroll
        for (int r = 0; r < ROWS; r++) {
            int query = group * ROWS + r;
            float highest = most[r];
            #pragma unroll
            for (int c = 0; c < TILE / LANES; c++) {
                int key = first + lane + LANES * c;
                scores[r][c] = tile.sees(query, key) ? scores[r][c] * scale : -INFINITY;
                highest = fmaxf(highest, scores[r][c]);
            }
            highest = lane_max(highest, LANES);
            // A row beyond the tile sees nothing; its numbers are never read.
            float base = highest == -INFINITY ? 0.0f : highest, kept = expf(most[r] - base), added = 0.0f;
            #pragma unroll
            for (int c = 0; c < TILE / LANES; c++) {
                float weight = expf(scores[r][c] - base);
                added += weight;
                weights[query * (TILE + PAD) + lane + LANES * c] = weight;
            }
            sum[r] = sum[r] * kept + lane_sum(added, LANES);
            most[r] = highest;
            #pragma unroll
            for (int c = 0; c < DIM / LANES; c++) sums[r][c] *= kept;
        }
        if (sums_only) continue;
        __syncthreads();
        load_tile<DIM>(key_tile, v, kv_stride, dim, count, row_of);
        __syncthreads();
        weighted_sums<DIM>(weights, key_tile, sums);
    }
    #pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int query = group * ROWS + r;
        if (query >= tile.count) continue;
        size_t row = tile.row + query;
        if (lane == 0) log_sums[row * heads + head] = most[r] + logf(sum[r]);
        #pragma unroll
        for (int c = 0; c < DIM / LANES && !sums_only; c++)
            if (lane + LANES * c < dim) out[row * q_stride + lane + LANES * c] = narrow<T>(sums[r][c] / sum[r]);
    }
}

// Writes for each row and head the product of the output with its gradient. A warp for each.
template <typename T>
__device__ void means(const T *out, const T *grad, float *mean, uint32_t count, uint32_t dim) {
    uint32_t at = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    float sum = 0.0f;
    if (at < count)
        for (uint32_t d = threadIdx.x % 32; d < dim; d += 32)
            sum += wide(out[(size_t)at * dim + d]) * wide(grad[(size_t)at * dim + d]);
    sum = lane_sum(sum, 32);
    if (at < count && threadIdx.x % 32 == 0) mean[at] = sum;
}

// Writes the gradient for the queries of a tile.
template <int DIM, typename T>
__device__ void backward_queries(const T *q, const T *k, const T *v, const T *grad, const uint32_t *tiles,
                                 const float *log_sums, const float *mean, T *dq, int heads, int repeats, int dim,
                                 float scale, int window) {
    DYNAMIC_SHARED(float, shared);
    const int SIZE = TILE * (DIM + PAD);
    float *query_tile = shared, *grad_tile = shared + SIZE, *key_tile = shared + 2 * SIZE;
    float *value_tile = shared + 3 * SIZE, *slopes = shared + 4 * SIZE;
    const int group = threadIdx.x / LANES, lane = threadIdx.x % LANES, head = blockIdx.y;
    const Queries tile(tiles + blockIdx.x * 5, window);
    const size_t q_stride = (size_t)heads * dim, kv_stride = (size_t)(heads / repeats) * dim;
    q += (size_t)head * dim, grad += (size_t)head * dim, dq += (size_t)head * dim;
    k += (size_t)(head / repeats) * dim, v += (size_t)(head / repeats) * dim;

    auto query_row = [&](int i) { return tile.row + i; };
    load_tile<DIM>(query_tile, q, q_stride, dim, tile.count, query_row);
    load_tile<DIM>(grad_tile, grad, q_stride, dim, tile.count, query_row);
    float sums[ROWS][DIM / LANES] = {};
    for (int first = tile.first_key(); first < tile.keys(); first += TILE) {
        int count = tile.keys() - first < TILE ? tile.keys() - first : TILE;
        auto row_of = [&](int i) { return tile.key_row(first + i); };
        __syncthreads();
        load_tile<DIM>(key_tile, k, kv_stride, dim, count, row_of);
        load_tile<DIM>(value_tile, v, kv_stride, dim, count, row_of);
        __syncthreads();
        float scores[ROWS][TILE / LANES] = {}, for_weights[ROWS][TILE / LANES] = {};
        row_products<DIM>(query_tile, key_tile, scores);
        row_products<DIM>(grad_tile, value_tile, for_weights);
        #pragma unroll
        for (int r = 0; r < ROWS; r++) {
            int query = group * ROWS + r;
            size_t at = ((size_t)tile.row + query) * heads + head;
            #pragma unroll
            for (int c = 0; c < TILE / LANES; c++) {
                int key = lane + LANES * c;
                float slope = 0.0f;
                if (tile.sees(query, first + key))
                    slope = expf(scores[r][c] * scale - log_sums[at]) * (for_weights[r][c] - mean[at]) * scale;
                slopes[query * (TILE + PAD) + key] = slope;
            }
        }
        __syncthreads();
        weighted_sums<DIM>(slopes, key_tile, sums);
    }
    #pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int query = group * ROWS + r;
        #pragma unroll
        for (int c = 0; c < DIM / LANES && query < tile.count; c++)
            if (lane + LANES * c < dim)
                dq[((size_t)tile.row + query) * q_stride + lane + LANES * c] = narrow<T>(sums[r][c]);
    }
}

// Writes the gradients for the keys and values of a tile. The rows that may attend to it are consecutive: the rest of a
// completion, or for a prompt the rest of its group. The square tiles are transposed: a group's rows are keys.
template <int DIM, typename T>
__device__ void backward_keys(const T *q, const T *k, const T *v, const T *grad, const uint32_t *tiles,
                              const uint32_t *positions, const float *log_sums, const float *mean, T *dk, T *dv,
                              int heads, int repeats, int dim, float scale, int window) {
    DYNAMIC_SHARED(float, shared);
    const int SIZE = TILE * (DIM + PAD);
    float *query_tile = shared, *grad_tile = shared + SIZE, *key_tile = shared + 2 * SIZE;
    float *value_tile = shared + 3 * SIZE, *weights = shared + 4 * SIZE, *slopes = weights + TILE * (TILE + PAD);
    const int group = threadIdx.x / LANES, lane = threadIdx.x % LANES, kv = blockIdx.y;
    __shared__ int query_ahead[TILE];
    const Keys tile(tiles + blockIdx.x * 3, window);
    const int key_row = tile.row, key_count = tile.count, end = tile.end;
    const size_t q_stride = (size_t)heads * dim, kv_stride = (size_t)(heads / repeats) * dim;
    k += (size_t)kv * dim, v += (size_t)kv * dim, dk += (size_t)kv * dim, dv += (size_t)kv * dim;

    load_tile<DIM>(key_tile, k, kv_stride, dim, key_count, [&](int i) { return key_row + i; });
    load_tile<DIM>(value_tile, v, kv_stride, dim, key_count, [&](int i) { return key_row + i; });
    float key_sums[ROWS][DIM / LANES] = {}, value_sums[ROWS][DIM / LANES] = {};
    for (int head = kv * repeats; head < (kv + 1) * repeats; head++)
        for (int first = key_row; first < end; first += TILE) {
            int count = end - first < TILE ? end - first : TILE;
            auto row_of = [&](int i) { return first + i; };
            __syncthreads();
            load_tile<DIM>(query_tile, q + (size_t)head * dim, q_stride, dim, count, row_of);
            load_tile<DIM>(grad_tile, grad + (size_t)head * dim, q_stride, dim, count, row_of);
            if ((int)threadIdx.x < TILE) query_ahead[threadIdx.x] = tile.ahead(positions, first + threadIdx.x);
            __syncthreads();
            float scores[ROWS][TILE / LANES] = {}, for_weights[ROWS][TILE / LANES] = {};
            row_products<DIM>(key_tile, query_tile, scores);
            row_products<DIM>(value_tile, grad_tile, for_weights);
            #pragma unroll
            for (int r = 0; r < ROWS; r++) {
                int key = group * ROWS + r;
                #pragma unroll
                for (int c = 0; c < TILE / LANES; c++) {
                    int query = lane + LANES * c;
                    float weight = 0.0f, slope = 0.0f;
                    if (tile.seen(key, query_ahead[query])) {
                        size_t at = ((size_t)first + query) * heads + head;
                        weight = expf(scores[r][c] * scale - log_sums[at]);
                        slope = weight * (for_weights[r][c] - mean[at]) * scale;
                    }
                    weights[key * (TILE + PAD) + query] = weight;
                    slopes[key * (TILE + PAD) + query] = slope;
                }
            }
            __syncthreads();
            weighted_sums<DIM>(weights, grad_tile, value_sums);
            weighted_sums<DIM>(slopes, query_tile, key_sums);
        }
    #pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int key = group * ROWS + r;
        #pragma unroll
        for (int c = 0; c < DIM / LANES && key < key_count; c++)
            if (lane + LANES * c < dim) {
                size_t at = ((size_t)key_row + key) * kv_stride + lane + LANES * c;
                dk[at] = narrow<T>(key_sums[r][c]);
                dv[at] = narrow<T>(value_sums[r][c]);
            }
    }
}

#define FOR_DIM(DIM, T, SUFFIX)                                                                                       \
    extern "C" __global__ void attention_##DIM##_##SUFFIX(                                                            \
        const T *q, const T *k, const T *v, const uint32_t *tiles, T *out, float *log_sums, uint32_t heads,           \
        uint32_t repeats, uint32_t dim, float scale, uint32_t window, uint32_t sums_only) {                           \
        forward<DIM>(q, k, v, tiles, out, log_sums, heads, repeats, dim, scale, window, sums_only);                   \
    }                                                                                                                 \
    extern "C" __global__ void attention_queries_##DIM##_##SUFFIX(                                                    \
        const T *q, const T *k, const T *v, const T *grad, const uint32_t *tiles, const float *log_sums,              \
        const float *mean, T *dq, uint32_t heads, uint32_t repeats, uint32_t dim, float scale, uint32_t window) {     \
        backward_queries<DIM>(q, k, v, grad, tiles, log_sums, mean, dq, heads, repeats, dim, scale, window);          \
    }                                                                                                                 \
    extern "C" __global__ void attention_keys_##DIM##_##SUFFIX(                                                       \
        const T *q, const T *k, const T *v, const T *grad, const uint32_t *tiles, const uint32_t *positions,          \
        const float *log_sums, const float *mean, T *dk, T *dv, uint32_t heads, uint32_t repeats, uint32_t dim,       \
        float scale, uint32_t window) {                                                                               \
        backward_keys<DIM>(q, k, v, grad, tiles, positions, log_sums, mean, dk, dv, heads, repeats, dim, scale,       \
                           window);                                                                                   \
    }                                                                                                                 \
    KERNEL(attention_##DIM##_##SUFFIX)                                                                                \
    KERNEL(attention_queries_##DIM##_##SUFFIX)                                                                        \
    KERNEL(attention_keys_##DIM##_##SUFFIX)

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void attention_means_##SUFFIX(const T *out, const T *grad, float *mean, uint32_t count,     \
                                                        uint32_t dim) {                                               \
        means(out, grad, mean, count, dim);                                                                           \
    }                                                                                                                 \
    KERNEL(attention_means_##SUFFIX)                                                                                  \
    FOR_DIM(32, T, SUFFIX)                                                                                            \
    FOR_DIM(64, T, SUFFIX)                                                                                            \
    FOR_DIM(128, T, SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
