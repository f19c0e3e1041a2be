// Draws a token from each row of logits, with a uniform number of [0, 1) for each: the token at which the running sum of
// probabilities exceeds it, in the order of the vocabulary, or the first of the most likely tokens if `greedy`. The
// log-probability of the token is kept. A row that is not finite gives the token NONE. A block for each row; each thread
// has a run of consecutive tokens.
#include "common.cuh"

const uint32_t NONE = 0xffffffffu;

template <typename T>
__device__ void draw(const T *logits, const float *uniforms, uint32_t *tokens, float *log_probs, uint32_t width,
                     float scale, uint32_t greedy) {
    __shared__ float scratch[32], run_sums[256];
    __shared__ uint32_t run_best[256];
    logits += (size_t)blockIdx.x * width;
    const uint32_t run = (width + blockDim.x - 1) / blockDim.x;
    const uint32_t first = threadIdx.x * run < width ? threadIdx.x * run : width;
    const uint32_t last = first + run < width ? first + run : width;
    float most = -INFINITY, bad = 0.0f;
    uint32_t best = NONE;
    for (uint32_t i = first; i < last; i++) {
        const float logit = wide(logits[i]) * scale;
        if (!(fabsf(logit) < INFINITY)) bad = 1.0f;
        if (logit > most) most = logit, best = i;
    }
    const float highest = block_max(most, scratch);
    bad = block_max(bad, scratch);
    float sum = 0.0f;
    for (uint32_t i = first; i < last; i++) sum += expf(wide(logits[i]) * scale - highest);
    run_sums[threadIdx.x] = sum;
    run_best[threadIdx.x] = most == highest ? best : NONE;
    __syncthreads();
    if (threadIdx.x != 0) return;
    float total = 0.0f;
    for (uint32_t thread = 0; thread < blockDim.x; thread++) total += run_sums[thread];
    uint32_t token = NONE;
    if (greedy) {
        for (uint32_t thread = 0; thread < blockDim.x && token == NONE; thread++) token = run_best[thread];
    } else {
        // The run in which the sum is exceeded, and within it the token. Rounding may leave a rest after the last token that
        // has a probability; that token is then the one.
        float left = uniforms[blockIdx.x] * total;
        uint32_t thread = 0;
        while (thread + 1 < blockDim.x && left >= run_sums[thread]) left -= run_sums[thread++];
        while (thread > 0 && run_sums[thread] == 0.0f) thread--;
        const uint32_t begin = thread * run, end = begin + run < width ? begin + run : width;
        for (uint32_t i = begin; i < end; i++) {
            const float p = expf(wide(logits[i]) * scale - highest);
            if (p > 0.0f) token = i;
            left -= p;
            if (p > 0.0f && left < 0.0f) break;
        }
    }
    if (bad > 0.0f) token = NONE;
    tokens[blockIdx.x] = token;
    log_probs[blockIdx.x] = token == NONE ? 0.0f : wide(logits[token]) * scale - highest - logf(total);
}

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void draw_##SUFFIX(const T *logits, const float *uniforms, uint32_t *tokens,                \
                                             float *log_probs, uint32_t width, float scale, uint32_t greedy) {        \
        draw(logits, uniforms, tokens, log_probs, width, scale, greedy);                                              \
    }                                                                                                                 \
    KERNEL(draw_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
