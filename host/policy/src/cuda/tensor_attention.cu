// The attention of attention.cu in bf16, with products on tensor cores.
//
// A block has 64 threads: 2 warps, each with 16 rows of a tile. A product of tensor cores multiplies 16 x 16 by 16 x 8
// numbers that lie in the registers of a warp. With row = lane / 4 and pair = lane % 4, a lane holds
//
//     of the left factor    rows `row` and `row` + 8, columns 2 pair, 2 pair + 1 and the same + 8
//     of the right factor   the same rows of the transposed factor (its columns), without those + 8
//     of the sum            rows `row` and `row` + 8, columns 2 pair and 2 pair + 1
//
// so that sums over a row are sums over 4 lanes, and two neighbouring sums make a left factor without moving.
#include "attention.cuh"

namespace tensor {
const int SUMS = 4;
// Elements between the rows of a tile besides the row, so that 8 rows of 4 pairs lie in 32 memory banks.
const int GAP = 8;

__device__ inline uint32_t join(uint16_t low, uint16_t high) { return low | (uint32_t)high << 16; }

// Two numbers as bf16.
__device__ inline uint32_t pack(float low, float high) {
    return join(__bfloat16_as_ushort(narrow<bf16>(low)), __bfloat16_as_ushort(narrow<bf16>(high)));
}

// Two consecutive elements of a row of a tile, from an even column on.
__device__ inline uint32_t along(const bf16 *tile, int stride, int row, int column) {
    return *(const uint32_t *)(tile + row * stride + column);
}

// Two consecutive elements of a column of a tile.
__device__ inline uint32_t down(const bf16 *tile, int stride, int row, int column) {
    return join(__bfloat16_as_ushort(tile[row * stride + column]), __bfloat16_as_ushort(tile[(row + 1) * stride + column]));
}

// Adds the product of a left factor with a right one to the sums of a warp.
__device__ inline void multiply(float sums[SUMS], const uint32_t left[4], uint32_t low, uint32_t high) {
#ifdef ALFT_EMULATED
    const uint32_t own[6] = {left[0], left[1], left[2], left[3], low, high};
    uint32_t all[32][6];
    emulation::gather(own, 6, all[0]);
    auto element = [](uint32_t two, int half) { return __uint_as_float(two >> 16 * half << 16); };
    const int lane = threadIdx.x % 32;
    for (int i = 0; i < SUMS; i++)
        for (int k = 0; k < 16; k++) {
            const int column = lane % 4 * 2 + i % 2, of = k % 8 / 2;
            sums[i] += element(all[lane / 4 * 4 + of][i / 2 + k / 8 * 2], k % 2) * element(all[column * 4 + of][4 + k / 8], k % 2);
        }
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(low), "r"(high));
#endif
}

// The place of a lane's numbers: its row among those of the tile, and its first column among 8.
struct Lane {
    int row, column;
    __device__ Lane() : row(threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4), column(threadIdx.x % 4 * 2) {}
};

// Adds the products of the warp's rows of a with all rows of b.
template <int DIM>
__device__ inline void row_products(const bf16 *a, const bf16 *b, float out[TILE / 8][SUMS]) {
    const int stride = DIM + GAP, other = threadIdx.x % 32 / 4;
    const Lane lane;
#pragma unroll
    for (int k = 0; k < DIM; k += 16) {
        const int low = k + lane.column, high = low + 8;
        const uint32_t left[4] = {along(a, stride, lane.row, low), along(a, stride, lane.row + 8, low),
                                  along(a, stride, lane.row, high), along(a, stride, lane.row + 8, high)};
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
            multiply(out[n], left, along(b, stride, 8 * n + other, low), along(b, stride, 8 * n + other, high));
    }
}

// Adds the products of the warp's weights with OUT columns of b.
template <int DIM, int OUT>
__device__ inline void weighted_sums(const float weights[TILE / 8][SUMS], const bf16 *b, float out[OUT / 8][SUMS]) {
    const int stride = DIM + GAP, other = threadIdx.x % 32 / 4;
    const Lane lane;
#pragma unroll
    for (int k = 0; k < TILE / 16; k++) {
        const float *low = weights[2 * k], *high = weights[2 * k + 1];
        const uint32_t left[4] = {pack(low[0], low[1]), pack(low[2], low[3]), pack(high[0], high[1]), pack(high[2], high[3])};
        const int row = 16 * k + lane.column;
#pragma unroll
        for (int n = 0; n < OUT / 8; n++)
            multiply(out[n], left, down(b, stride, row, 8 * n + other), down(b, stride, row + 8, 8 * n + other));
    }
}

// Copies rows of one head to shared memory, 8 elements at a time; rows from `count` on are 0.
template <int DIM, typename RowOf>
__device__ void load_rows(bf16 *tile, const bf16 *x, size_t stride, int dim, int count, RowOf row_of) {
    for (int at = threadIdx.x; at < TILE * DIM / 8; at += blockDim.x) {
        const int i = at / (DIM / 8), d = at % (DIM / 8) * 8;
        Eight<bf16> part = {};
        if (i < count && d < dim) part = *(const Eight<bf16> *)(x + (size_t)row_of(i) * stride + d);
        *(Eight<bf16> *)(tile + i * (DIM + GAP) + d) = part;
    }
}

// Writes the warp's rows of a tile that begins at `row` of x, as far as they are among `count`.
template <int DIM, typename T>
__device__ void store_rows(T *x, size_t stride, int dim, int row, int count, const float sums[DIM / 8][SUMS],
                           const float divisor[2]) {
    const Lane lane;
#pragma unroll
    for (int i = 0; i < SUMS; i++) {
        const int at = lane.row + i / 2 * 8;
        if (at >= count) continue;
#pragma unroll
        for (int n = 0; n < DIM / 8; n++) {
            const int d = 8 * n + lane.column + i % 2;
            if (d < dim) x[(size_t)(row + at) * stride + d] = narrow<T>(sums[n][i] / divisor[i / 2]);
        }
    }
}

// Writes the output and the log-sum-exp of each row and head; only the latter if `sums_only`.
template <int DIM>
__device__ void forward(const bf16 *q, const bf16 *k, const bf16 *v, const uint32_t *tiles, bf16 *out, float *log_sums,
                        int heads, int repeats, int dim, float scale, int window,
                        uint32_t sums_only) {
    DYNAMIC_SHARED(Eight<bf16>, shared);
    const int SIZE = TILE * (DIM + GAP), head = blockIdx.y;
    bf16 *query_tile = (bf16 *)shared, *key_tile = query_tile + SIZE, *value_tile = key_tile + SIZE;
    const Queries tile(tiles + blockIdx.x * 5, window);
    const Lane lane;
    const size_t q_stride = (size_t)heads * dim, kv_stride = (size_t)(heads / repeats) * dim;
    q += (size_t)head * dim, out += (size_t)head * dim;
    k += (size_t)(head / repeats) * dim, v += (size_t)(head / repeats) * dim;

    load_rows<DIM>(query_tile, q, q_stride, dim, tile.count, [&](int i) { return tile.row + i; });
    float most[2] = {-INFINITY, -INFINITY}, sum[2] = {}, sums[DIM / 8][SUMS] = {};
    for (int first = tile.first_key(); first < tile.keys(); first += TILE) {
        const int count = tile.keys() - first < TILE ? tile.keys() - first : TILE;
        auto row_of = [&](int i) { return tile.key_row(first + i); };
        __syncthreads();
        load_rows<DIM>(key_tile, k, kv_stride, dim, count, row_of);
        if (!sums_only) load_rows<DIM>(value_tile, v, kv_stride, dim, count, row_of);
        __syncthreads();
        float scores[TILE / 8][SUMS] = {};
        row_products<DIM>(query_tile, key_tile, scores);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float highest = most[half], added = 0.0f;
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    const bool seen = tile.sees(lane.row + half * 8, first + 8 * n + lane.column + i % 2);
                    scores[n][i] = seen ? scores[n][i] * scale : -INFINITY;
                    highest = fmaxf(highest, scores[n][i]);
                }
            highest = lane_max(highest, 4);
            // A row beyond the tile sees nothing; its numbers are never read.
            const float base = highest == -INFINITY ? 0.0f : highest, kept = expf(most[half] - base);
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    scores[n][i] = expf(scores[n][i] - base);
                    added += scores[n][i];
                }
            sum[half] = sum[half] * kept + lane_sum(added, 4);
            most[half] = highest;
#pragma unroll
            for (int n = 0; n < DIM / 8; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) sums[n][i] *= kept;
        }
        if (!sums_only) weighted_sums<DIM, DIM>(scores, value_tile, sums);
    }
    for (int half = 0; half < 2; half++) {
        const int query = lane.row + half * 8;
        if (query < tile.count && lane.column == 0)
            log_sums[((size_t)tile.row + query) * heads + head] = most[half] + logf(sum[half]);
    }
    if (!sums_only) store_rows<DIM>(out, q_stride, dim, tile.row, tile.count, sums, sum);
}

// Writes the gradient for the queries of a tile.
template <int DIM>
__device__ void backward_queries(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *grad, const uint32_t *tiles,
                                 const float *log_sums, const float *mean, bf16 *dq, int heads, int repeats, int dim,
                                 float scale, int window) {
    DYNAMIC_SHARED(Eight<bf16>, shared);
    const int SIZE = TILE * (DIM + GAP), head = blockIdx.y;
    bf16 *query_tile = (bf16 *)shared, *grad_tile = query_tile + SIZE, *key_tile = grad_tile + SIZE;
    bf16 *value_tile = key_tile + SIZE;
    const Queries tile(tiles + blockIdx.x * 5, window);
    const Lane lane;
    const size_t q_stride = (size_t)heads * dim, kv_stride = (size_t)(heads / repeats) * dim;
    q += (size_t)head * dim, grad += (size_t)head * dim, dq += (size_t)head * dim;
    k += (size_t)(head / repeats) * dim, v += (size_t)(head / repeats) * dim;

    auto query_row = [&](int i) { return tile.row + i; };
    load_rows<DIM>(query_tile, q, q_stride, dim, tile.count, query_row);
    load_rows<DIM>(grad_tile, grad, q_stride, dim, tile.count, query_row);
    float log_sum[2] = {}, row_mean[2] = {}, sums[DIM / 8][SUMS] = {};
    for (int half = 0; half < 2; half++)
        if (lane.row + half * 8 < tile.count) {
            const size_t at = ((size_t)tile.row + lane.row + half * 8) * heads + head;
            log_sum[half] = log_sums[at], row_mean[half] = mean[at];
        }
    for (int first = tile.first_key(); first < tile.keys(); first += TILE) {
        const int count = tile.keys() - first < TILE ? tile.keys() - first : TILE;
        auto row_of = [&](int i) { return tile.key_row(first + i); };
        __syncthreads();
        load_rows<DIM>(key_tile, k, kv_stride, dim, count, row_of);
        load_rows<DIM>(value_tile, v, kv_stride, dim, count, row_of);
        __syncthreads();
        float slopes[TILE / 8][SUMS] = {}, for_weights[TILE / 8][SUMS] = {};
        row_products<DIM>(query_tile, key_tile, slopes);
        row_products<DIM>(grad_tile, value_tile, for_weights);
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < SUMS; i++) {
                const int half = i / 2;
                const bool seen = tile.sees(lane.row + half * 8, first + 8 * n + lane.column + i % 2);
                const float weight = expf(slopes[n][i] * scale - log_sum[half]);
                slopes[n][i] = seen ? weight * (for_weights[n][i] - row_mean[half]) * scale : 0.0f;
            }
        weighted_sums<DIM, DIM>(slopes, key_tile, sums);
    }
    const float one[2] = {1.0f, 1.0f};
    store_rows<DIM>(dq, q_stride, dim, tile.row, tile.count, sums, one);
}

// Writes the part of one query head in the gradients for the keys and values of a tile, as attention.cu describes it: the
// rows are keys. Query heads that share keys are not added up here, because a prompt's keys have a whole group's queries,
// and the block that has them is the last one to end. A block has OUT columns, because registers hold no more: those of
// wider heads have a block for each OUT of them.
template <int DIM, int OUT>
__device__ void backward_keys(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *grad, const uint32_t *tiles,
                              const uint32_t *positions, const float *log_sums, const float *mean, float *dk,
                              float *dv, int heads, int repeats, int dim, float scale, int window) {
    DYNAMIC_SHARED(Eight<bf16>, shared);
    __shared__ float query_sums[TILE], query_means[TILE];
    __shared__ int query_ahead[TILE];
    const int SIZE = TILE * (DIM + GAP), head = OUT < DIM ? blockIdx.y % heads : blockIdx.y, kv = head / repeats;
    const int column = OUT < DIM ? blockIdx.y / heads * OUT : 0;
    bf16 *query_tile = (bf16 *)shared, *grad_tile = query_tile + SIZE, *key_tile = grad_tile + SIZE;
    bf16 *value_tile = key_tile + SIZE;
    const Keys tile(tiles + blockIdx.x * 3, window);
    const int key_row = tile.row, key_count = tile.count, end = tile.end;
    const Lane lane;
    const size_t q_stride = (size_t)heads * dim, kv_stride = (size_t)(heads / repeats) * dim;
    k += (size_t)kv * dim, v += (size_t)kv * dim;
    dk += (size_t)head * dim + column, dv += (size_t)head * dim + column;
    q += (size_t)head * dim, grad += (size_t)head * dim;

    load_rows<DIM>(key_tile, k, kv_stride, dim, key_count, [&](int i) { return key_row + i; });
    load_rows<DIM>(value_tile, v, kv_stride, dim, key_count, [&](int i) { return key_row + i; });
    float key_sums[OUT / 8][SUMS] = {}, value_sums[OUT / 8][SUMS] = {};
    for (int first = key_row; first < end; first += TILE) {
        const int count = end - first < TILE ? end - first : TILE;
        auto row_of = [&](int i) { return first + i; };
        __syncthreads();
        load_rows<DIM>(query_tile, q, q_stride, dim, count, row_of);
        load_rows<DIM>(grad_tile, grad, q_stride, dim, count, row_of);
        if ((int)threadIdx.x < TILE) {
            const size_t at = ((size_t)first + threadIdx.x) * heads + head;
            query_sums[threadIdx.x] = (int)threadIdx.x < count ? log_sums[at] : 0.0f;
            query_means[threadIdx.x] = (int)threadIdx.x < count ? mean[at] : 0.0f;
            query_ahead[threadIdx.x] = tile.ahead(positions, first + threadIdx.x);
        }
        __syncthreads();
        float weights[TILE / 8][SUMS] = {}, slopes[TILE / 8][SUMS] = {};
        row_products<DIM>(key_tile, query_tile, weights);
        row_products<DIM>(value_tile, grad_tile, slopes);
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < SUMS; i++) {
                const int key = lane.row + i / 2 * 8, query = 8 * n + lane.column + i % 2;
                const bool seen = tile.seen(key, query_ahead[query]);
                const float weight = seen ? expf(weights[n][i] * scale - query_sums[query]) : 0.0f;
                slopes[n][i] = weight * (slopes[n][i] - query_means[query]) * scale;
                weights[n][i] = weight;
            }
        weighted_sums<DIM, OUT>(weights, grad_tile + column, value_sums);
        weighted_sums<DIM, OUT>(slopes, query_tile + column, key_sums);
    }
    const float one[2] = {1.0f, 1.0f};
    store_rows<OUT>(dk, q_stride, dim - column, key_row, key_count, key_sums, one);
    store_rows<OUT>(dv, q_stride, dim - column, key_row, key_count, value_sums, one);
}

// Adds up the parts of the query heads that share keys, (rows, kv heads, repeats, dim), to (rows, kv heads, dim). A thread
// for each element.
__device__ inline void join_heads(const float *parts, bf16 *out, uint32_t i, uint32_t repeats, uint32_t dim) {
    const size_t first = (size_t)(i / dim) * repeats * dim + i % dim;
    float sum = 0.0f;
    for (uint32_t head = 0; head < repeats; head++) sum += parts[first + (size_t)head * dim];
    out[i] = narrow<bf16>(sum);
}
}  // namespace tensor

#undef FOR_DIM
#define FOR_DIM(DIM)                                                                                                  \
    extern "C" __global__ void tensor_attention_##DIM(                                                                \
        const bf16 *q, const bf16 *k, const bf16 *v, const uint32_t *tiles, bf16 *out, float *log_sums,               \
        uint32_t heads, uint32_t repeats, uint32_t dim, float scale, uint32_t window, uint32_t sums_only) {           \
        tensor::forward<DIM>(q, k, v, tiles, out, log_sums, heads, repeats, dim, scale, window, sums_only);           \
    }                                                                                                                 \
    extern "C" __global__ void tensor_attention_queries_##DIM(                                                        \
        const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *grad, const uint32_t *tiles,                         \
        const float *log_sums, const float *mean, bf16 *dq, uint32_t heads, uint32_t repeats, uint32_t dim,           \
        float scale, uint32_t window) {                                                                               \
        tensor::backward_queries<DIM>(q, k, v, grad, tiles, log_sums, mean, dq, heads, repeats, dim, scale, window);  \
    }                                                                                                                 \
    extern "C" __global__ void tensor_attention_keys_##DIM(                                                           \
        const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *grad, const uint32_t *tiles,                         \
        const uint32_t *positions, const float *log_sums, const float *mean, float *dk, float *dv, uint32_t heads,    \
        uint32_t repeats, uint32_t dim, float scale, uint32_t window) {                                               \
        tensor::backward_keys<DIM, (DIM < 128 ? DIM : 128)>(q, k, v, grad, tiles, positions, log_sums, mean, dk, dv,  \
                                                            heads, repeats, dim, scale, window);                      \
    }                                                                                                                 \
    KERNEL(tensor_attention_##DIM)                                                                                    \
    KERNEL(tensor_attention_queries_##DIM)                                                                            \
    KERNEL(tensor_attention_keys_##DIM)

FOR_DIM(32)
FOR_DIM(64)
FOR_DIM(128)
FOR_DIM(256)

extern "C" __global__ void tensor_attention_join(const float *k_parts, const float *v_parts, bf16 *dk, bf16 *dv,
                                                 uint32_t count, uint32_t repeats, uint32_t dim) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    tensor::join_heads(k_parts, dk, i, repeats, dim);
    tensor::join_heads(v_parts, dv, i, repeats, dim);
}
KERNEL(tensor_attention_join)
