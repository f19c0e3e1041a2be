// AdamW over all weights in one launch. Tensors are lists of addresses, and a block has a run of the numbers of one tensor.
#include "runs.cuh"

// A step: the moments and the weights are changed in place.
extern "C" __global__ void adamw(const uint32_t *runs, const uint32_t *counts, const float *const *grads,
                                 float *const *weights, float *const *means, float *const *squares, uint32_t length,
                                 float kept1, float added1, float kept2, float added2, float decay, float rate,
                                 float root_bias, float epsilon) {
    const Run run(runs, counts, length);
    const float *grad = grads[run.tensor];
    float *w = weights[run.tensor], *m = means[run.tensor], *v = squares[run.tensor];
    for (uint32_t i = run.first + threadIdx.x; i < run.last; i += blockDim.x) {
        const float g = grad[i], mean = kept1 * m[i] + added1 * g, square = kept2 * v[i] + added2 * (g * g);
        m[i] = mean;
        v[i] = square;
        w[i] = decay * w[i] - rate * mean / (sqrtf(square) * root_bias + epsilon);
    }
}
KERNEL(adamw)

// Writes the sum of the squares of each run.
extern "C" __global__ void squares(const uint32_t *runs, const uint32_t *counts, float *sums,
                                   const float *const *tensors, uint32_t length) {
    __shared__ float scratch[32];
    const Run run(runs, counts, length);
    const float *x = tensors[run.tensor];
    float sum = 0.0f;
    for (uint32_t i = run.first + threadIdx.x; i < run.last; i += blockDim.x) sum += x[i] * x[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
KERNEL(squares)
