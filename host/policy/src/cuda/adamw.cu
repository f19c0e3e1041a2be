// A step of AdamW in one pass: a thread for each weight. The moments and the weight are changed in place.
#include "common.cuh"

extern "C" __global__ void adamw(const float *grad, float *w, float *m, float *v, uint32_t count, float kept1,
                                 float added1, float kept2, float added2, float decay, float rate, float root_bias,
                                 float epsilon) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float g = grad[i];
    m[i] = kept1 * m[i] + added1 * g;
    v[i] = kept2 * v[i] + added2 * (g * g);
    w[i] = decay * w[i] - rate * m[i] / (sqrtf(v[i]) * root_bias + epsilon);
}
KERNEL(adamw)

// Writes the sum of squares of each run of `run` numbers. A block for each.
extern "C" __global__ void squares(const float *x, float *sums, uint32_t count, uint32_t run) {
    __shared__ float scratch[32];
    const uint32_t first = blockIdx.x * run, last = first + run < count ? first + run : count;
    float sum = 0.0f;
    for (uint32_t i = first + threadIdx.x; i < last; i += blockDim.x) sum += x[i] * x[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
KERNEL(squares)
