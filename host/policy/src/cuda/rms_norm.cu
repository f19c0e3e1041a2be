// Root-mean-square normalisation: a block for each row. T is the type of the stream and W that of the weight, to which
// `offset` is added.
#include "common.cuh"

template <typename T, typename W>
__device__ void rms_norm(const T *x, const W *w, T *y, uint32_t width, float epsilon, float offset) {
    __shared__ float scratch[32];
    x += (size_t)blockIdx.x * width;
    y += (size_t)blockIdx.x * width;
    float squares = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) squares += wide(x[i]) * wide(x[i]);
    float inverse = rsqrtf(block_sum(squares, scratch) / width + epsilon);
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) y[i] = narrow<T>(wide(x[i]) * inverse * (wide(w[i]) + offset));
}

// Adds y to the stream x in place, and normalises the sum.
template <typename T, typename W>
__device__ void add_rms_norm(const T *y, const W *w, T *x, T *normal, uint32_t width, float epsilon, float offset) {
    __shared__ float scratch[32];
    x += (size_t)blockIdx.x * width;
    y += (size_t)blockIdx.x * width;
    normal += (size_t)blockIdx.x * width;
    float squares = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        x[i] = narrow<T>(wide(x[i]) + wide(y[i]));
        squares += wide(x[i]) * wide(x[i]);
    }
    float inverse = rsqrtf(block_sum(squares, scratch) / width + epsilon);
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) normal[i] = narrow<T>(wide(x[i]) * inverse * (wide(w[i]) + offset));
}

// Normalises the heads of queries and keys in place, in rows of query_heads + 2 kv_heads heads. A warp for each head of a row.
template <typename T, typename W>
__device__ void head_rms_norm(const W *query_w, const W *key_w, T *rows, uint32_t query_heads, uint32_t kv_heads,
                              uint32_t width, float epsilon, float offset) {
    const uint32_t head = blockIdx.y;
    T *x = rows + ((size_t)blockIdx.x * (query_heads + 2 * kv_heads) + head) * width;
    const W *w = head < query_heads ? query_w : key_w;
    float squares = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += 32) squares += wide(x[i]) * wide(x[i]);
    float inverse = rsqrtf(lane_sum(squares, 32) / width + epsilon);
    for (uint32_t i = threadIdx.x; i < width; i += 32) x[i] = narrow<T>(wide(x[i]) * inverse * (wide(w[i]) + offset));
}

// With n the normalised row and g the gradient times the weight, dx = (g - n * mean(g * n)) * inverse. The inverse roots
// are kept for the weight's gradient.
template <typename T, typename W>
__device__ void rms_norm_backward(const T *x, const W *w, const T *grad, T *dx, float *inverses, uint32_t width,
                                  float epsilon, float offset) {
    __shared__ float scratch[32];
    x += (size_t)blockIdx.x * width;
    grad += (size_t)blockIdx.x * width;
    dx += (size_t)blockIdx.x * width;
    float squares = 0.0f, products = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        squares += wide(x[i]) * wide(x[i]);
        products += wide(grad[i]) * (wide(w[i]) + offset) * wide(x[i]);
    }
    float inverse = rsqrtf(block_sum(squares, scratch) / width + epsilon);
    float mean = block_sum(products, scratch) * inverse / width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x)
        dx[i] = narrow<T>((wide(grad[i]) * (wide(w[i]) + offset) - wide(x[i]) * inverse * mean) * inverse);
    if (threadIdx.x == 0) inverses[blockIdx.x] = inverse;
}

// Sums gradient * normalised row over rows. Block (column group, chunk) sums a chunk of rows for 32 columns, which its
// 8 warps divide between them, into row `chunk` of the partial sums.
template <typename T>
__device__ void rms_norm_weight(const T *x, const T *grad, const float *inverses, float *partial, uint32_t rows,
                                uint32_t width, uint32_t chunk_rows) {
    __shared__ float sums[8][32];
    uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    uint32_t first = blockIdx.y * chunk_rows, last = first + chunk_rows < rows ? first + chunk_rows : rows;
    float sum = 0.0f;
    if (column < width)
        for (uint32_t row = first + warp; row < last; row += 8) {
            size_t at = (size_t)row * width + column;
            sum += wide(grad[at]) * wide(x[at]) * inverses[row];
        }
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && column < width) {
        for (uint32_t other = 1; other < 8; other++) sum += sums[other][lane];
        partial[(size_t)blockIdx.y * width + column] = sum;
    }
}

// Sums over the rows of the partial sums. A thread for each column.
extern "C" __global__ void rms_norm_columns(const float *partial, float *sums, uint32_t rows, uint32_t width) {
    const uint32_t column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    float sum = 0.0f;
    for (uint32_t row = 0; row < rows; row++) sum += partial[(size_t)row * width + column];
    sums[column] = sum;
}
KERNEL(rms_norm_columns)

#define FOR_WEIGHT(T, W, SUFFIX)                                                                                      \
    extern "C" __global__ void rms_norm_##SUFFIX(const T *x, const W *w, T *y, uint32_t width, float epsilon,         \
                                                 float offset) {                                                      \
        rms_norm(x, w, y, width, epsilon, offset);                                                                    \
    }                                                                                                                 \
    extern "C" __global__ void add_rms_norm_##SUFFIX(const T *y, const W *w, T *x, T *normal, uint32_t width,         \
                                                     float epsilon, float offset) {                                   \
        add_rms_norm(y, w, x, normal, width, epsilon, offset);                                                        \
    }                                                                                                                 \
    extern "C" __global__ void head_rms_norm_##SUFFIX(const W *query_w, const W *key_w, T *rows,                      \
                                                      uint32_t query_heads, uint32_t kv_heads, uint32_t width,        \
                                                      float epsilon, float offset) {                                  \
        head_rms_norm(query_w, key_w, rows, query_heads, kv_heads, width, epsilon, offset);                           \
    }                                                                                                                 \
    extern "C" __global__ void rms_norm_backward_##SUFFIX(const T *x, const W *w, const T *grad, T *dx,               \
                                                          float *inverses, uint32_t width, float epsilon,             \
                                                          float offset) {                                             \
        rms_norm_backward(x, w, grad, dx, inverses, width, epsilon, offset);                                          \
    }                                                                                                                 \
    KERNEL(rms_norm_##SUFFIX)                                                                                         \
    KERNEL(head_rms_norm_##SUFFIX)                                                                                    \
    KERNEL(add_rms_norm_##SUFFIX)                                                                                     \
    KERNEL(rms_norm_backward_##SUFFIX)

#define FOR_STREAM(T, SUFFIX)                                                                                         \
    extern "C" __global__ void rms_norm_weight_##SUFFIX(const T *x, const T *grad, const float *inverses,             \
                                                        float *partial, uint32_t rows, uint32_t width,                \
                                                        uint32_t chunk_rows) {                                        \
        rms_norm_weight(x, grad, inverses, partial, rows, width, chunk_rows);                                         \
    }                                                                                                                 \
    KERNEL(rms_norm_weight_##SUFFIX)

FOR_WEIGHT(float, float, f32_f32)
FOR_WEIGHT(bf16, bf16, bf16_bf16)
FOR_WEIGHT(bf16, float, bf16_f32)
FOR_STREAM(float, f32)
FOR_STREAM(bf16, bf16)
