// Statistics of a row of logits l with log-sum-exp Z: the target's log-probability l[target] - Z, the entropy of the
// softmax in nats, and in place of the logits the gradient of the log-probability for them, onehot(target) - softmax. A
// block for each row.
#include "common.cuh"

template <typename T>
__device__ void token_stats(const uint32_t *targets, T *logits, float *log_probs, float *entropies, uint32_t width,
                            uint32_t slopes) {
    __shared__ float scratch[32];
    T *row = logits + (size_t)blockIdx.x * width;
    float most = -INFINITY;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) most = fmaxf(most, wide(row[i]));
    most = block_max(most, scratch);
    float sum = 0.0f, weighted = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float shifted = wide(row[i]) - most, e = expf(shifted);
        sum += e;
        // A logit of minus infinity has probability 0 and no part in the entropy.
        if (e > 0.0f) weighted += e * shifted;
    }
    sum = block_sum(sum, scratch);
    weighted = block_sum(weighted, scratch);
    uint32_t target = targets[blockIdx.x];
    if (threadIdx.x == 0) {
        log_probs[blockIdx.x] = wide(row[target]) - most - logf(sum);
        entropies[blockIdx.x] = logf(sum) - weighted / sum;
    }
    // The target's logit is read before it is overwritten.
    __syncthreads();
    if (slopes)
        for (uint32_t i = threadIdx.x; i < width; i += blockDim.x)
            row[i] = narrow<T>((i == target ? 1.0f : 0.0f) - expf(wide(row[i]) - most) / sum);
}

// The gradient of a row's entropy H for its logits, -p (log p + H) with p their softmax. A block for each row.
template <typename T> __device__ void entropy_slopes(const T *logits, T *slopes, uint32_t width) {
    __shared__ float scratch[32];
    logits += (size_t)blockIdx.x * width;
    slopes += (size_t)blockIdx.x * width;
    float most = -INFINITY;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) most = fmaxf(most, wide(logits[i]));
    most = block_max(most, scratch);
    float sum = 0.0f, weighted = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float shifted = wide(logits[i]) - most, e = expf(shifted);
        sum += e;
        if (e > 0.0f) weighted += e * shifted;
    }
    sum = block_sum(sum, scratch);
    // log p + H is the logit less its mean under p.
    float mean = block_sum(weighted, scratch) / sum;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float shifted = wide(logits[i]) - most, e = expf(shifted);
        slopes[i] = narrow<T>(e > 0.0f ? -(e / sum) * (shifted - mean) : 0.0f);
    }
}

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void token_stats_##SUFFIX(const uint32_t *targets, T *logits, float *log_probs,             \
                                                    float *entropies, uint32_t width, uint32_t slopes) {        \
        token_stats(targets, logits, log_probs, entropies, width, slopes);                                      \
    }                                                                                                                 \
    extern "C" __global__ void entropy_slopes_##SUFFIX(const T *logits, T *slopes, uint32_t width) {            \
        entropy_slopes(logits, slopes, width);                                                                  \
    }                                                                                                                 \
    KERNEL(token_stats_##SUFFIX)                                                                                      \
    KERNEL(entropy_slopes_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
